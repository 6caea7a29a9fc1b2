// What a workload takes on a port, plain text or mutual TLS, as PeerAuthentications say.
import type { PeerAuthenticationConfig } from '../../config/config.ts';
import { originOf } from '../../config/config.ts';
import type { Origin } from '../../model/origin.ts';
import { labelsMatch } from '../../model/labels.ts';
import type { World } from '../world.ts';

/** DISABLE: plain text alone. PERMISSIVE: both. STRICT: mutual TLS alone. */
export type MutualTlsMode = 'DISABLE' | 'PERMISSIVE' | 'STRICT';

/** A mode, and the object that asked for it; no origin where nothing did. */
export interface ModeSetting {
  readonly mode: MutualTlsMode;
  readonly origin?: Origin;
}

/** What holds for one workload. */
export interface MutualTlsSettings extends ModeSetting {
  /** By port of the workload, where it differs in object or value. */
  readonly ports: ReadonlyMap<number, ModeSetting>;
}

/** The mode of one port of the workloads with these labels. `port` is the workload's, not a Service's (C12.01). */
export function mutualTlsMode(
  world: World,
  namespace: string,
  labels: Readonly<Record<string, string>>,
  port: number,
): MutualTlsMode {
  return settingOfPort(mutualTlsSettings(world, namespace, labels), port).mode;
}

/** The mode of a namespace's workloads before any that is chosen by labels: what clients assume of a Service. */
export function namespaceMutualTlsMode(world: World, namespace: string): MutualTlsMode {
  return namespaceSetting(world, namespace).mode;
}

export function settingOfPort(settings: MutualTlsSettings, port: number): ModeSetting {
  return settings.ports.get(port) ?? settings;
}

/**
 * The narrower scope wins: mesh (root namespace), namespace, workload, port; UNSET takes the wider scope's, at last
 * PERMISSIVE. Of two of one scope the oldest alone counts, even where it says UNSET. Selectors in the root
 * namespace select nothing. Source: Istio `ComposePeerAuthentication`.
 */
export function mutualTlsSettings(
  world: World,
  namespace: string,
  labels: Readonly<Record<string, string>>,
): MutualTlsSettings {
  const wide = namespaceSetting(world, namespace);
  const chosen =
    namespace === world.meshConfig().rootNamespace
      ? undefined
      : world.peerAuthentications(namespace).find((config) => !isWide(config) && selects(config, labels));
  if (chosen === undefined) return { ...wide, ports: new Map() };
  const workload = narrowed(wide, chosen.spec.mtls?.mode, originOf(chosen, 'spec', 'mtls'));
  const ports = new Map<number, ModeSetting>();
  for (const [port, mtls] of Object.entries(chosen.spec.portLevelMtls ?? {}))
    ports.set(Number(port), narrowed(workload, mtls.mode, originOf(chosen, 'spec', 'portLevelMtls', port)));
  return { ...workload, ports };
}

function namespaceSetting(world: World, namespace: string): ModeSetting {
  const { rootNamespace } = world.meshConfig();
  const own = namespace === rootNamespace ? [] : [namespace];
  let setting: ModeSetting = { mode: 'PERMISSIVE' };
  for (const each of [rootNamespace, ...own]) {
    const config = world.peerAuthentications(each).find(isWide);
    if (config !== undefined)
      setting = narrowed(setting, config.spec.mtls?.mode, originOf(config, 'spec', 'mtls'));
  }
  return setting;
}

function narrowed(
  wider: ModeSetting,
  mode: 'UNSET' | MutualTlsMode | undefined,
  origin: Origin,
): ModeSetting {
  return mode === undefined || mode === 'UNSET' ? wider : { mode, origin };
}

/** Whether it is its namespace's, or in the root namespace the mesh's. */
function isWide({ spec }: PeerAuthenticationConfig): boolean {
  return Object.keys(spec.selector?.matchLabels ?? {}).length === 0;
}

function selects({ spec }: PeerAuthenticationConfig, labels: Readonly<Record<string, string>>): boolean {
  return labelsMatch(spec.selector?.matchLabels ?? {}, labels);
}
