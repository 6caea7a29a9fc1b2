// Makes the pod that a workload asks for: name, addresses, sidecar or gateway, and what its containers are
// started with.
import { dirname, resolve } from 'node:path';
import { bootstrapPatches } from '../agent/bootstrap-patches.ts';
import type { BootstrapOptions } from '../agent/bootstrap.ts';
import type { Interception } from '../agent/node-identity.ts';
import type { ProcessStarter } from '../agent/process.ts';
import type { DataPlane, ProxyProcessOptions } from '../agent/proxy-process.ts';
import { ProxyProcess } from '../agent/proxy-process.ts';
import type { Clock } from '../base/clock.ts';
import type { LogLevel } from '../base/logger.ts';
import type { Random } from '../base/random.ts';
import type { EnvoyFilterConfig, ProxyConfigConfig } from '../config/config.ts';
import type { ConfigMap, Secret } from '../config/kube-types.ts';
import type { ProxyConfig } from '../config/mesh-config.ts';
import type { EffectiveProxyConfig } from '../config/proxy-config.ts';
import { effectiveProxyConfig, toldProxyConfig } from '../config/proxy-config.ts';
import type { ConfigStore } from '../config/store.ts';
import type { AddressAllocator, PodAddresses } from './addresses.ts';
import type { ContainerSources, PodFacts } from './container-environment.ts';
import { gatewayBinds } from './gateway.ts';
import type { Injection } from './injection.ts';
import { decideInjection } from './injection.ts';
import type { EventSeverity, PodTimes } from './pod.ts';
import { LocalPod } from './pod.ts';
import { nodeIdentity } from './pod-identity.ts';
import { podName } from './pod-name.ts';
import type { Workload } from './workloads.ts';

/** Gives each proxy what it shows the control plane to be known. */
export interface ProxyTokens {
  issue(account: {
    readonly trustDomain: string;
    readonly namespace: string;
    readonly serviceAccount: string;
  }): string;
  revoke(token: string): void;
}

export interface PodFactoryOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly starter: ProcessStarter;
  readonly addresses: AddressAllocator;
  readonly dataPlane: DataPlane;
  readonly proxyLogLevel: LogLevel;
  readonly discovery: BootstrapOptions['discovery'];
  readonly tokens: ProxyTokens;
  /** Bootstrap files are written here. */
  readonly stateDirectory: string;
  readonly sources: Pick<ContainerSources, 'baseEnvironment' | 'self' | 'nodePath'>;
  readonly machineName: string;
  readonly rootNamespace: string;
  readonly domainSuffix: string;
  readonly trustDomain: string;
  /** MeshConfig.defaultConfig as it is now. */
  readonly defaultProxyConfig: () => ProxyConfig;
  /** Port of each sidecar's HTTP proxy listener. */
  readonly httpProxyPort: number;
  /** Where the gateway is reached from outside. */
  readonly gateway: { readonly hostAddresses: readonly string[]; readonly hostPort: number };
  readonly times: PodTimes;
}

/** Istio's name for the container of a proxy. */
export const proxyContainer = 'istio-proxy';

/** What happens in a pod. */
export interface PodListener {
  /** A line of output of a container (`istio-proxy`: of the proxy). */
  line(pod: LocalPod, container: string, line: string): void;
  event(pod: LocalPod, container: string, text: string, severity: EventSeverity): void;
  /** After changes of state or readiness; from a kubelet, when the store of facts has them. */
  changed(): void;
}

export interface PodRequest {
  readonly workload: Workload;
  readonly ordinal: number;
  /** Whether no other gateway has the ports of this machine's own addresses. */
  readonly mayBindGateway: boolean;
}

export interface MadePod {
  readonly pod: LocalPod;
  readonly holdsGatewayBinds: boolean;
}

export class PodFactory {
  readonly #options: PodFactoryOptions;
  readonly #wishes: ConfigStore;

  /** Namespaces, Services, ConfigMaps and Secrets are looked up in `wishes`. */
  constructor(options: PodFactoryOptions, wishes: ConfigStore) {
    this.#options = options;
    this.#wishes = wishes;
  }

  /** A pod that has not been started. Throws Error where no address is left. */
  make({ workload, ordinal, mayBindGateway }: PodRequest, listener: PodListener): MadePod {
    const { addresses, starter, clock, times } = this.#options;
    const injection = this.#injectionOf(workload);
    const holdsGatewayBinds = injection.kind === 'gateway' && mayBindGateway;
    const facts = this.#factsOf(workload, ordinal, addresses.allocate(), injection);
    const interception = this.#interceptionOf(workload, facts, injection, holdsGatewayBinds);
    const pod: LocalPod = new LocalPod({
      facts,
      spec: workload.template.spec ?? {},
      sources: this.#sourcesOf(workload),
      starter,
      clock,
      times,
      isGateway: injection.kind === 'gateway',
      proxy:
        interception === undefined
          ? undefined
          : (onChange) =>
              this.#makeProxy(workload, facts, interception, {
                onChange,
                onLine: (line) => listener.line(pod, proxyContainer, line),
                onCrash: (text) => listener.event(pod, proxyContainer, text, 'warning'),
              }),
      onLine: (container, line) => listener.line(pod, container, line),
      onEvent: (container, text, severity) => listener.event(pod, container, text, severity),
      onChange: () => listener.changed(),
    });
    return { pod, holdsGatewayBinds };
  }

  #injectionOf({ config, template }: Workload): Injection {
    return decideInjection({
      namespace: config.namespace,
      namespaceLabels: this.#wishes.get('Namespace', '', config.namespace)?.labels ?? {},
      podLabels: template.metadata?.labels ?? {},
      podAnnotations: template.metadata?.annotations ?? {},
      hostNetwork: template.spec?.hostNetwork === true,
    });
  }

  /**
   * The one place that decides how a pod's traffic comes to its proxy; undefined: it has none. Today
   * that is always LOOPBACK, which needs no privilege; transparent interception would be chosen here.
   */
  #interceptionOf(
    workload: Workload,
    facts: PodFacts,
    injection: Injection,
    holdsGatewayBinds: boolean,
  ): Interception | undefined {
    const { httpProxyPort, gateway } = this.#options;
    if (injection.kind === 'none') return undefined;
    if (injection.kind === 'sidecar') {
      const { appAddress } = facts.addresses;
      return { mode: 'loopback', appAddress, httpProxyPort, gatewayBinds: [] };
    }
    const binds = holdsGatewayBinds
      ? gatewayBinds(gateway.hostAddresses, gateway.hostPort, workload, this.#wishes)
      : [];
    return { mode: 'loopback', httpProxyPort: 0, gatewayBinds: binds };
  }

  #factsOf(workload: Workload, ordinal: number, addresses: PodAddresses, injection: Injection): PodFacts {
    const { metadata, spec } = workload.template;
    const name = this.#nameOf(workload, ordinal);
    const hashLabel: Record<string, string> =
      workload.kind === 'Deployment' ? { 'pod-template-hash': workload.templateHash } : {};
    return {
      name,
      namespace: workload.config.namespace,
      uid: `${workload.config.namespace}.${name}.${addresses.podIp}`,
      labels: { ...metadata?.labels, ...hashLabel },
      annotations: metadata?.annotations ?? {},
      serviceAccountName: spec?.serviceAccountName ?? 'default',
      machineName: this.#options.machineName,
      addresses,
      httpProxyPort: injection.kind === 'sidecar' ? this.#options.httpProxyPort : undefined,
    };
  }

  #nameOf({ kind, config, templateHash }: Workload, ordinal: number): string {
    if (kind === 'Pod') return config.name;
    if (kind === 'StatefulSet') return `${config.name}-${ordinal}`;
    return podName(config.name, templateHash, this.#options.random);
  }

  #sourcesOf({ config }: Workload): ContainerSources {
    return {
      ...this.#options.sources,
      baseDirectory: dirname(resolve(config.locate([]).file)),
      configMap: (namespace, name) =>
        this.#wishes.get('ConfigMap', namespace, name)?.spec as ConfigMap | undefined,
      secret: (namespace, name) => this.#wishes.get('Secret', namespace, name)?.spec as Secret | undefined,
    };
  }

  #makeProxy(
    workload: Workload,
    facts: PodFacts,
    interception: Interception,
    callbacks: Pick<ProxyProcessOptions, 'onChange' | 'onLine' | 'onCrash'>,
  ): ProxyProcess {
    const { dataPlane, proxyLogLevel, discovery, stateDirectory, sources, starter, clock } = this.#options;
    const { tokens, trustDomain } = this.#options;
    const own = this.#proxyConfigOf(facts);
    const { proxyMetadata, concurrency, drainDurationMs } = own;
    const proxyConfig = toldProxyConfig(own, this.#options.defaultProxyConfig());
    const identity = nodeIdentity(workload, facts, interception, this.#options);
    const node = { ...identity, proxyMetadata, proxyConfig };
    const filters = this.#wishes.list('EnvoyFilter') as readonly EnvoyFilterConfig[];
    const patches = bootstrapPatches(filters, this.#options.rootNamespace, node);
    const { namespace, serviceAccount } = node;
    const token = tokens.issue({ trustDomain, namespace, serviceAccount });
    return new ProxyProcess({
      bootstrap: { node, discovery, patches, token },
      onEnd: () => tokens.revoke(token),
      dataPlane,
      logLevel: proxyLogLevel,
      settings: { concurrency, drainDurationMs },
      stateDirectory,
      environment: { ...sources.baseEnvironment, ...proxyMetadata },
      starter,
      clock,
      ...callbacks,
    });
  }

  /** As on Kubernetes: what changes later counts for pods that are made later. */
  #proxyConfigOf(facts: PodFacts): EffectiveProxyConfig {
    const { defaultProxyConfig, rootNamespace } = this.#options;
    const configs = this.#wishes.list('ProxyConfig') as readonly ProxyConfigConfig[];
    return effectiveProxyConfig(defaultProxyConfig(), rootNamespace, configs, facts);
  }
}
