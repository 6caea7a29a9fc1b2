// DestinationRules: servers are verified, hosts exist, subsets select pods.
import type { DestinationRuleSpec } from '../../api/gen/istio-types.js';
import type { Analyzer } from '../analyzer.ts';
import { findHost, knownHosts } from '../hosts.ts';
import { says } from '../messages.ts';
import { specOf } from '../object.ts';
import type { Objects } from '../object.ts';
import { podsOf } from '../pods.ts';
import { selects } from '../selector.ts';

export const caCertificates: Analyzer = {
  name: 'destinationrule.CaCertificateAnalyzer',
  description: 'caCertificates are set where TLS mode is SIMPLE or MUTUAL',
  run: ({ objects, report }) => {
    for (const object of objects.list('DestinationRule')) {
      const { trafficPolicy, host = '', workloadSelector } = specOf<DestinationRuleSpec>(object);
      const unverified = (tls: NonNullable<typeof trafficPolicy>['tls']): string | undefined => {
        const isTls = tls?.mode === 'SIMPLE' || tls?.mode === 'MUTUAL';
        // A credential is read only where a selector says whose it is.
        const hasCredential = (tls?.credentialName ?? '') !== '' && workloadSelector !== undefined;
        return isTls && (tls.caCertificates ?? '') === '' && !hasCredential ? tls.mode : undefined;
      };
      const mode = unverified(trafficPolicy?.tls);
      if (mode !== undefined)
        report(
          says.noServerCertificateVerificationDestinationLevel(object.name, object.namespace, mode, host),
          object,
          'spec',
          'trafficPolicy',
          'tls',
        );
      for (const [index, settings] of (trafficPolicy?.portLevelSettings ?? []).entries()) {
        const portMode = unverified(settings.tls);
        if (portMode !== undefined)
          report(
            says.noServerCertificateVerificationPortLevel(
              object.name,
              object.namespace,
              portMode,
              host,
              String(settings.port?.number ?? 0),
            ),
            object,
            'spec',
            'trafficPolicy',
            'portLevelSettings',
            index,
            'tls',
          );
      }
    }
  },
};

export const destinationRuleHosts: Analyzer = {
  name: 'destinationrule.SubsetSelectPodAnalyzer',
  description: 'DestinationRules have a host that exists, and their subsets select pods',
  needs: ['Service', 'ServiceEntry'],
  run: ({ objects, report }) => {
    const hosts = knownHosts(objects);
    const podLabels = labelsOfPods(objects);
    for (const object of objects.list('DestinationRule')) {
      const { host = '', exportTo, subsets } = specOf<DestinationRuleSpec>(object);
      const known = findHost(hosts, host, object.namespace, exportTo);
      if (known === undefined) {
        report(says.unknownDestinationRuleHost(host), object, 'spec', 'host');
        continue;
      }
      // Without any workload at hand nothing can be said of subsets.
      if (podLabels === undefined) continue;
      for (const [index, { name = '', labels }] of (subsets ?? []).entries()) {
        const wanted = { ...known.workloadLabels, ...labels };
        if (!podLabels.some((pod) => selects(wanted, pod)))
          report(says.destinationRuleSubsetNotSelectPods(name), object, 'spec', 'subsets', index);
      }
    }
  },
};

/**
 * Labels of all workloads, with those that Istio adds: where the node stands. Undefined where nothing that could
 * have labels is known.
 */
function labelsOfPods(objects: Objects): readonly Readonly<Record<string, string>>[] | undefined {
  const entries = [
    ...objects.list('WorkloadEntry').map(({ body, labels }) => ({
      ...labels,
      ...(body['spec'] as { labels?: Record<string, string> } | undefined)?.labels,
    })),
    ...objects
      .list('ServiceEntry')
      .flatMap(
        ({ body }) =>
          (body['spec'] as { endpoints?: { labels?: Record<string, string> }[] } | undefined)?.endpoints ??
          [],
      )
      .map(({ labels }) => ({ ...labels })),
  ];
  const pods = podsOf(objects).map(({ labels, spec }) => {
    const node = objects.find('Node', '', spec.nodeName ?? '');
    if (node === undefined) return labels;
    const [region, zone, subzone] = topologyLabels.map((name) => node.labels[name] ?? '');
    return {
      ...labels,
      ...(region === '' ? {} : { 'topology.kubernetes.io/region': region ?? '' }),
      ...(zone === '' ? {} : { 'topology.kubernetes.io/zone': zone ?? '' }),
      ...(subzone === '' ? {} : { 'topology.istio.io/subzone': subzone ?? '' }),
      'kubernetes.io/hostname': spec.nodeName ?? '',
    };
  });
  const all = [...pods, ...entries];
  return all.length === 0 ? undefined : all;
}

const topologyLabels = [
  'topology.kubernetes.io/region',
  'topology.kubernetes.io/zone',
  'topology.istio.io/subzone',
];
