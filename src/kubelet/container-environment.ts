// What a container's process is started with: command, arguments, environment, folder; Kubernetes' rules
// for `env`, `envFrom` and `$(VAR)`, applied to a process of this machine.
import { delimiter, dirname, resolve } from 'node:path';
import type { ProcessSpec } from '../agent/process.ts';
import type { ConfigMap, Container, EnvVar, Secret } from '../config/kube-types.ts';
import type { FieldPath } from '../model/origin.ts';
import type { PodAddresses } from './addresses.ts';

/** What of its pod a container may ask for. */
export interface PodFacts {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly serviceAccountName: string;
  readonly machineName: string;
  readonly addresses: PodAddresses;
  /** Port of the sidecar's HTTP proxy listener; undefined: no sidecar, so the app has the pod IP itself. */
  readonly httpProxyPort: number | undefined;
}

export interface ContainerSources {
  /** The environment that every process of this machine has: PATH, HOME and so on. */
  readonly baseEnvironment: Readonly<Record<string, string>>;
  /** Program and first arguments that start this program: what the command `fairlead` means. */
  readonly self: readonly [string, ...string[]];
  /** What the command `node` means. */
  readonly nodePath: string;
  /** The folder of the YAML file: relative folders start here. */
  readonly baseDirectory: string;
  readonly configMap: (namespace: string, name: string) => ConfigMap | undefined;
  readonly secret: (namespace: string, name: string) => Secret | undefined;
}

/** Why a container cannot be started; `path` is within the container. */
export interface Problem {
  readonly path: FieldPath;
  readonly message: string;
}

export type ContainerPlan =
  | { readonly kind: 'runnable'; readonly spec: ProcessSpec }
  | { readonly kind: 'refused'; readonly problems: readonly Problem[] };

/** Pure but for what `sources` looks up. */
export function planContainer(container: Container, pod: PodFacts, sources: ContainerSources): ContainerPlan {
  const problems: Problem[] = [];
  const environment = containerEnvironment(container, pod, sources, problems);
  const words = [...(container.command ?? []), ...(container.args ?? [])].map((word) =>
    expand(word, environment),
  );
  if ((container.command ?? []).length === 0) {
    problems.unshift({
      path: [],
      message: `container ${container.name}: no command: images are not pulled; give it a command`,
    });
  }
  if (problems.length > 0) return { kind: 'refused', problems };
  const [command, args] = resolveCommand(words, sources);
  const workingDirectory = resolve(sources.baseDirectory, container.workingDir ?? '.');
  return { kind: 'runnable', spec: { command, args, environment, workingDirectory } };
}

/** The address that the app of a pod listens on. */
export function appAddressOf(pod: Pick<PodFacts, 'addresses' | 'httpProxyPort'>): string {
  return pod.httpProxyPort === undefined ? pod.addresses.podIp : pod.addresses.appAddress;
}

/**
 * `$(NAME)` becomes the variable's value, `$$(NAME)` the text `$(NAME)`; a name that is not known stays
 * as it stands (Kubernetes: third_party/forked/golang/expansion).
 */
export function expand(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\$|\$\(([^)]*)\)/g, (match: string, name: string | undefined) => {
    if (name === undefined) return '$';
    return Object.hasOwn(variables, name) ? (variables[name] ?? '') : match;
  });
}

/** What of our own environment an app gets: all, but what would mislead it about proxies, ports and us. */
export function inheritedEnvironment(
  own: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const dropped = /^(https?_proxy|no_proxy|all_proxy|host|port|node_options|npm_.*|fairlead_.*|vitest.*)$/i;
  const kept = Object.entries(own).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !dropped.test(entry[0]),
  );
  return Object.fromEntries(kept);
}

function containerEnvironment(
  container: Container,
  pod: PodFacts,
  sources: ContainerSources,
  problems: Problem[],
): Record<string, string> {
  const environment: Record<string, string> = {
    ...sources.baseEnvironment,
    PATH: [dirname(sources.nodePath), sources.baseEnvironment['PATH'] ?? ''].join(delimiter),
    ...podEnvironment(container, pod),
  };
  for (const [index, from] of (container.envFrom ?? []).entries())
    Object.assign(environment, valuesFrom(from, index, pod.namespace, sources, problems));
  for (const [index, variable] of (container.env ?? []).entries()) {
    const value = valueOf(variable, pod, sources, environment);
    if (typeof value === 'string') environment[variable.name] = value;
    else if (value !== undefined)
      problems.push({ path: ['env', index, ...value.path], message: value.message });
  }
  return environment;
}

/** The variables that we add: where to listen, who one is, and the way into the mesh. */
function podEnvironment(container: Container, pod: PodFacts): Record<string, string> {
  const { podIp } = pod.addresses;
  const appAddress = appAddressOf(pod);
  const environment: Record<string, string> = {
    HOST: appAddress,
    POD_NAME: pod.name,
    POD_NAMESPACE: pod.namespace,
    POD_IP: podIp,
    HOSTNAME: pod.name,
  };
  const port = container.ports?.[0]?.containerPort;
  if (port !== undefined) environment['PORT'] = String(port);
  if (pod.httpProxyPort !== undefined && pod.httpProxyPort !== 0) {
    const proxy = `http://${podIp}:${pod.httpProxyPort}`;
    // A call to a pod's own address passes no rule of the mesh, as with captured traffic (it would go to
    // PassthroughCluster): clients that know CIDR blocks (curl, Go, Python) go there directly.
    const direct = ['localhost', '127.0.0.1', '::1', appAddress, podIp, '127.0.0.0/8'].join(',');
    // Both cases: curl reads only http_proxy, Go and others read either.
    Object.assign(environment, { HTTP_PROXY: proxy, http_proxy: proxy, NO_PROXY: direct, no_proxy: direct });
    // Node from 24 on (and 22.21) then takes the proxy for fetch and http by itself.
    environment['NODE_USE_ENV_PROXY'] = '1';
  }
  return environment;
}

function valuesFrom(
  from: NonNullable<Container['envFrom']>[number],
  index: number,
  namespace: string,
  sources: ContainerSources,
  problems: Problem[],
): Record<string, string> {
  const reference = from.configMapRef ?? from.secretRef;
  const name = reference?.name ?? '';
  const values =
    from.configMapRef !== undefined
      ? sources.configMap(namespace, name)?.data
      : secretValues(sources.secret(namespace, name));
  if (values === undefined && reference?.optional !== true) {
    const kind = from.configMapRef !== undefined ? 'ConfigMap' : 'Secret';
    problems.push({ path: ['envFrom', index], message: `there is no ${kind} ${namespace}/${name}` });
  }
  return Object.fromEntries(
    Object.entries(values ?? {}).map(([key, value]) => [`${from.prefix ?? ''}${key}`, value]),
  );
}

function valueOf(
  variable: EnvVar,
  pod: PodFacts,
  sources: ContainerSources,
  known: Readonly<Record<string, string>>,
): string | Problem | undefined {
  const from = variable.valueFrom;
  if (from === undefined) return expand(variable.value ?? '', known);
  if (from.fieldRef !== undefined) {
    const path = from.fieldRef.fieldPath;
    return (
      fieldValue(path, pod) ?? {
        path: ['valueFrom', 'fieldRef', 'fieldPath'],
        message: `${path} is not supported; supported are metadata.name, metadata.namespace, metadata.uid, metadata.labels['KEY'], metadata.annotations['KEY'], spec.nodeName, spec.serviceAccountName, status.hostIP, status.podIP and status.podIPs`,
      }
    );
  }
  if (from.configMapKeyRef !== undefined) {
    const { name = '', key, optional } = from.configMapKeyRef;
    const value = sources.configMap(pod.namespace, name)?.data?.[key];
    if (value !== undefined || optional === true) return value;
    return {
      path: ['valueFrom', 'configMapKeyRef'],
      message: `there is no ConfigMap ${pod.namespace}/${name} with the key ${key}`,
    };
  }
  if (from.secretKeyRef !== undefined) {
    const { name = '', key, optional } = from.secretKeyRef;
    const value = secretValues(sources.secret(pod.namespace, name))?.[key];
    if (value !== undefined || optional === true) return value;
    return {
      path: ['valueFrom', 'secretKeyRef'],
      message: `there is no Secret ${pod.namespace}/${name} with the key ${key}`,
    };
  }
  return {
    path: ['valueFrom'],
    message:
      'this source is not supported; supported are value, fieldRef, configMapKeyRef and secretKeyRef: local processes have no resource limits',
  };
}

function fieldValue(fieldPath: string, pod: PodFacts): string | undefined {
  const subscript = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(fieldPath);
  if (subscript !== null) {
    const map = subscript[1] === 'labels' ? pod.labels : pod.annotations;
    return map[subscript[2] ?? ''] ?? '';
  }
  const fields: Readonly<Record<string, string>> = {
    'metadata.name': pod.name,
    'metadata.namespace': pod.namespace,
    'metadata.uid': pod.uid,
    'spec.nodeName': pod.machineName,
    'spec.serviceAccountName': pod.serviceAccountName,
    'status.hostIP': '127.0.0.1',
    'status.podIP': pod.addresses.podIp,
    'status.podIPs': pod.addresses.podIp,
  };
  return fields[fieldPath];
}

function secretValues(secret: Secret | undefined): Record<string, string> | undefined {
  if (secret === undefined) return undefined;
  const decoded = Object.entries(secret.data ?? {}).map(([key, value]) => [
    key,
    Buffer.from(value, 'base64').toString(),
  ]);
  return { ...(Object.fromEntries(decoded) as Record<string, string>), ...secret.stringData };
}

/** `node` and `fairlead` are this very program and its interpreter, so that samples need nothing on PATH. */
function resolveCommand(words: readonly string[], sources: ContainerSources): [string, readonly string[]] {
  const [command = '', ...args] = words;
  if (command === 'node') return [sources.nodePath, args];
  if (command !== 'fairlead') return [command, args];
  const [program, ...first] = sources.self;
  return [program, [...first, ...args]];
}
