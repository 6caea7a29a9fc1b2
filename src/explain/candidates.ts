// What may have been meant where a request does not get through: the nearest hosts, and the rules that would apply
// if something about them were different.
import type { RouteConfiguration } from '../api/gen/envoy/config/route/v3/route_pb.js';
import { isExportedTo } from '../model/export.ts';
import { parseClusterName } from '../model/cluster-name.ts';
import { hostnameCovers, resolveHost } from '../model/hostname.ts';
import type { Service } from '../model/service.ts';
import { withoutPort } from '../proxy/router/match.ts';
import { editDistance, nearest } from './edit-distance.ts';
import type { MeshView, ProxyConfiguration, Workload } from './mesh-view.ts';
import type { Candidate, RuleTrace } from './trace.ts';
import { unboundRules } from './unused-rules.ts';

/** For a host that no virtual host has, or that was let through or blocked as unknown. */
export function hostCandidates(
  mesh: MeshView,
  from: Workload,
  configuration: RouteConfiguration | undefined,
  authority: string,
  port: number,
): readonly Candidate[] {
  const host = withoutPort(authority);
  const names = namesOf(mesh, from, host);
  const found = [
    ...otherPorts(mesh, names, port),
    ...unseenServices(mesh, from, names, port),
    ...otherNamespaces(mesh, from, host),
    ...unboundRules(mesh, from, names, []),
  ];
  const known = (configuration?.virtualHosts ?? [])
    .flatMap(({ domains }) => domains)
    .filter((domain) => domain !== '*' && withoutPort(domain) !== host)
    .map((domain) => withoutPort(domain.toLowerCase()));
  if (found.length > 0) return found;
  // A short name is compared with the short names of its namespace.
  const short = host.includes('.')
    ? []
    : mesh.services.filter(({ namespace }) => namespace === from.namespace).map(({ name }) => name);
  const near = nearest(host, [...known, ...short, ...mesh.services.map(({ hostname }) => hostname)]);
  return near.map((name): Candidate => ({ text: `the nearest host is ${name}`, sources: [] }));
}

/** For a request that no rule of its host takes: the rules of which only one clause missed, and the nearest paths. */
export function ruleCandidates(rules: readonly RuleTrace[], path: string): readonly Candidate[] {
  const ranked = rules.flatMap((rule) => {
    const missed = rule.clauses.filter(({ matched }) => !matched);
    const [only] = missed;
    if (only === undefined || missed.length > 1) return [];
    const text = `rule ${rule.index} but for one thing: ${only.wanted}, and ${only.found}`;
    if (only.part !== 'path') return [{ rank: 0, text, sources: rule.sources }];
    const asked = only.wanted.replace(/^\S+ /, '');
    const begin = only.wanted.startsWith('prefix') ? path.slice(0, asked.length) : path;
    const distance = editDistance(asked.toLowerCase(), begin.toLowerCase());
    if (distance > Math.max(2, asked.length / 3)) return [];
    return [{ rank: 1 + distance, text: `rule ${rule.index} is for ${only.wanted}`, sources: rule.sources }];
  });
  return ranked
    .sort((a, b) => a.rank - b.rank)
    .slice(0, 3)
    .map(({ text, sources }) => ({ text, sources }));
}

/** For a cluster that the proxy does not have. */
export function clusterCandidates(
  mesh: MeshView,
  configuration: ProxyConfiguration,
  name: string,
): readonly Candidate[] {
  const wanted = parseClusterName(name);
  if (wanted === undefined)
    return nearest(name, configuration.clusterNames()).map((other) => ({
      text: `there is ${other}`,
      sources: [],
    }));
  const { hostname, subset, servicePort } = wanted;
  const services = mesh.services.filter((service) => service.hostname === hostname);
  if (services.length === 0) {
    const near = nearest(
      hostname,
      mesh.services.map((service) => service.hostname),
    );
    return [
      { text: `no Service and no ServiceEntry has the host ${hostname}`, sources: [] },
      ...near.map((other): Candidate => ({ text: `there is ${other}`, sources: [] })),
    ];
  }
  const ports = services.flatMap((service) => service.ports.map((port) => port.servicePort));
  if (!ports.includes(servicePort))
    return services.map((service) => ({
      text: `${hostname} has no port ${servicePort}, but ${portsText(service)}`,
      sources: sourceOfService(mesh, service),
    }));
  if (subset === '') {
    return services.map((service) => ({
      text: `${hostname} is not seen from here: exportTo is ${service.exportTo.join(', ') || 'not said'}, or a Sidecar does not import it`,
      sources: sourceOfService(mesh, service),
    }));
  }
  return subsetCandidates(mesh, hostname, subset);
}

function subsetCandidates(mesh: MeshView, hostname: string, subset: string): readonly Candidate[] {
  const rules = mesh.objects('DestinationRule').filter((rule) => {
    const { host = '' } = (rule.spec ?? {}) as { host?: string };
    return hostnameCovers(resolveHost(host, rule.namespace, mesh.domainSuffix), hostname);
  });
  if (rules.length === 0)
    return [{ text: `no DestinationRule for ${hostname}: without one there are no subsets`, sources: [] }];
  return rules.map((rule) => {
    const { subsets = [] } = rule.spec as { subsets?: readonly { name?: string }[] };
    const names = subsets.flatMap(({ name }) => (name === undefined ? [] : [name]));
    const has = names.includes(subset)
      ? `has the subset ${subset}, but does not apply here (exportTo, workloadSelector, or another rule counts)`
      : names.length === 0
        ? 'has no subsets'
        : `has the subsets ${names.slice(0, 10).join(', ')}${names.length > 10 ? ` and ${names.length - 10} more` : ''}, not ${subset}`;
    return {
      text: `DestinationRule ${rule.namespace}/${rule.name} ${has}`,
      sources: [rule.locate(['spec', 'subsets'])],
    };
  });
}

/** The full names that the host may stand for where the client is. */
export function namesOf(mesh: MeshView, from: Workload, host: string): readonly string[] {
  const suffix = mesh.domainSuffix;
  const dots = host.split('.').length - 1;
  return [
    host,
    ...(dots === 0 ? [`${host}.${from.namespace}.svc.${suffix}`] : []),
    ...(dots === 1 ? [`${host}.svc.${suffix}`] : []),
    ...(dots === 2 ? [`${host}.${suffix}`] : []),
  ];
}

function otherPorts(mesh: MeshView, names: readonly string[], port: number): readonly Candidate[] {
  return mesh.services
    .filter(
      ({ hostname, ports }) =>
        names.includes(hostname) && !ports.some(({ servicePort }) => servicePort === port),
    )
    .map((service) => ({
      text: `${service.hostname} has no port ${port}, but ${portsText(service)}`,
      sources: sourceOfService(mesh, service),
    }));
}

/** Services that are there, but not for this client. */
function unseenServices(
  mesh: MeshView,
  from: Workload,
  names: readonly string[],
  port: number,
): readonly Candidate[] {
  const { namespace } = from;
  const sidecars = mesh
    .objects('Sidecar')
    .filter((sidecar) => sidecar.namespace === namespace || sidecar.namespace === mesh.rootNamespace)
    .filter(({ spec }) => ((spec as { egress?: readonly unknown[] } | undefined)?.egress ?? []).length > 0);
  return mesh.services
    .filter((service) => names.includes(service.hostname))
    .filter(({ ports }) => ports.some(({ servicePort }) => servicePort === port))
    .flatMap((service): readonly Candidate[] => {
      const { hostname, exportTo } = service;
      if (!isExportedTo(exportTo, service.namespace, namespace))
        return [
          {
            text: `${hostname} is exported to ${exportTo.join(', ')} only, and this is ${namespace}`,
            sources: sourceOfService(mesh, service),
          },
        ];
      return sidecars.map((sidecar) => ({
        text: `Sidecar ${sidecar.namespace}/${sidecar.name} does not import ${hostname} for this client`,
        sources: [sidecar.locate(['spec', 'egress'])],
      }));
    });
}

function otherNamespaces(mesh: MeshView, from: Workload, host: string): readonly Candidate[] {
  if (host.includes('.')) return [];
  return mesh.services
    .filter(
      ({ name, namespace, registry }) =>
        registry === 'Kubernetes' && name === host && namespace !== from.namespace,
    )
    .map((service) => ({
      text: `${host} is a service of namespace ${service.namespace}: write ${host}.${service.namespace}`,
      sources: sourceOfService(mesh, service),
    }));
}

export function portsText({ ports }: Service): string {
  const texts = ports.map(
    ({ servicePort, protocol }) =>
      `${servicePort} (${protocol === 'unsupported' ? 'protocol not said' : protocol})`,
  );
  return texts.length === 1 ? `port ${texts[0]}` : `ports ${texts.join(', ')}`;
}

export function sourceOfService(mesh: MeshView, service: Service): Candidate['sources'] {
  const kind = service.registry === 'Kubernetes' ? 'Service' : 'ServiceEntry';
  const object = mesh
    .objects(kind)
    .find(({ namespace, name }) => namespace === service.namespace && name === service.origin.name);
  return object === undefined ? [] : [object.locate(['spec', 'ports'])];
}
