// Gateways against the workloads, Services and certificates that they stand on.
import type { GatewaySpec } from '../../api/gen/istio-types.js';
import type { KubeServiceSpec } from '../../config/kube-types.ts';
import type { Analyzer } from '../analyzer.ts';
import { says } from '../messages.ts';
import type { AnalysisObject, Objects } from '../object.ts';
import { fullName, specOf } from '../object.ts';
import type { AnalyzedPod } from '../pods.ts';
import { podsOf } from '../pods.ts';
import { selectorText, selects } from '../selector.ts';
import { hasUsableCertificate } from './secret-certificate.ts';

export const gatewayPorts: Analyzer = {
  name: 'gateway.IngressGatewayPortAnalyzer',
  description: "Gateways listen on ports that their workloads' Services lead to",
  needs: ['Pod', 'Deployment', 'StatefulSet'],
  run: ({ objects, report }) => {
    const pods = podsOf(objects);
    for (const object of objects.list('Gateway')) {
      const { selector, servers } = specOf<GatewaySpec>(object);
      const own = pods.filter(({ labels }) => selects(selector, labels));
      if (own.length === 0) {
        report(...selectorNotFound(object, selector));
        continue;
      }
      const ports = reachablePorts(own, objects);
      for (const [index, { port }] of (servers ?? []).entries())
        if (port !== undefined && !ports.has(port.number ?? 0))
          report(
            says.gatewayPortNotDefinedOnService(port.number ?? 0, selectorText(selector)),
            object,
            'spec',
            'servers',
            index,
            'port',
            'number',
          );
    }
  },
};

export const gatewayCertificates: Analyzer = {
  name: 'gateway.CertificateAnalyzer',
  description: 'No two gateways of the same workloads present one certificate',
  run: ({ objects, report }) => {
    const gateways = objects.list('Gateway');
    for (const object of gateways) {
      const { selector = {}, servers } = specOf<GatewaySpec>(object);
      for (const other of gateways) {
        if (other === object) continue;
        const { selector: otherSelector = {}, servers: otherServers } = specOf<GatewaySpec>(other);
        // The other one's workloads are all among those of this one, as far as labels tell.
        if (!Object.entries(selector).every(([key, value]) => otherSelector[key] === value)) continue;
        const index = (servers ?? []).findIndex(({ tls }) =>
          (otherServers ?? []).some(({ tls: otherTls }) => isSameCertificate(tls, otherTls)),
        );
        if (index >= 0)
          report(
            says.gatewayDuplicateCertificate([fullName(object), fullName(other)]),
            object,
            'spec',
            'servers',
            index,
            'tls',
          );
      }
    }
  },
};

export const gatewaySecrets: Analyzer = {
  name: 'gateway.SecretAnalyzer',
  description: 'Secrets that gateways name are there and hold a certificate',
  needs: ['Secret'],
  run: ({ objects, nowMs, report }) => {
    const pods = podsOf(objects);
    for (const object of objects.list('Gateway')) {
      const { selector, servers } = specOf<GatewaySpec>(object);
      // A gateway's credentials are read in the namespace of its workloads.
      const namespace = pods.find(({ labels }) => selects(selector, labels))?.namespace;
      if (namespace === undefined) {
        report(...selectorNotFound(object, selector));
        continue;
      }
      for (const [index, { tls }] of (servers ?? []).entries()) {
        const name = tls?.credentialName ?? '';
        if (name === '') continue;
        const path = ['spec', 'servers', index, 'tls', 'credentialName'];
        const slash = name.indexOf('/');
        const secret = objects.find(
          'Secret',
          slash < 0 ? namespace : name.slice(0, slash),
          name.slice(slash + 1),
        );
        if (secret === undefined)
          report(says.referencedResourceNotFound('credentialName', name), object, ...path);
        else if (!hasUsableCertificate(secret.body, nowMs))
          report(says.invalidGatewayCredential(name, object.name, namespace), object, ...path);
      }
    }
  },
};

/** What is said where no workload has the labels of a gateway's selector. */
function selectorNotFound(
  object: AnalysisObject,
  selector: Readonly<Record<string, string>> | undefined,
): [ReturnType<typeof says.referencedResourceNotFound>, AnalysisObject, ...(string | number)[]] {
  const [first] = Object.keys(selector ?? {}).sort();
  return [
    says.referencedResourceNotFound('selector', selectorText(selector)),
    object,
    'spec',
    'selector',
    ...(first === undefined ? [] : [first]),
  ];
}

/** Ports and target ports of all Services of the pods. */
function reachablePorts(pods: readonly AnalyzedPod[], objects: Objects): ReadonlySet<number> {
  const ports = new Set<number>();
  for (const service of objects.list('Service')) {
    const { selector, ports: servicePorts } = specOf<KubeServiceSpec>(service);
    const isOurs = pods.some(
      ({ namespace, labels }) => namespace === service.namespace && selects(selector, labels),
    );
    if (!isOurs) continue;
    for (const { port, targetPort, protocol = 'TCP' } of servicePorts ?? []) {
      if (protocol !== 'TCP') continue;
      ports.add(port);
      const target = Number(targetPort);
      if (Number.isInteger(target) && target > 0) ports.add(target);
    }
  }
  return ports;
}

type ServerTls = NonNullable<GatewaySpec['servers']>[number]['tls'];

function isSameCertificate(a: ServerTls, b: ServerTls): boolean {
  const credential = a?.credentialName ?? '';
  if (credential !== '' || (b?.credentialName ?? '') !== '') return credential === b?.credentialName;
  const certificate = a?.serverCertificate ?? '';
  const key = a?.privateKey ?? '';
  return certificate !== '' && key !== '' && certificate === b?.serverCertificate && key === b?.privateKey;
}
