// What Istio's small worlds say of listeners, as ours have it.
import { messageToJson } from '../../src/api/any.ts';
import { listeners } from '../../src/translate/index.ts';
import type { ProxyScope } from '../../src/translate/resource.ts';
import type { World } from '../../src/translate/world.ts';

export interface ListenerFacts {
  /** Found by address and port; another case names one for its filters. */
  readonly listener?:
    | string
    | {
        readonly name?: string;
        readonly address: string;
        readonly port: number;
        readonly useOriginalDst?: boolean;
        readonly secondFilterChain?: { readonly tcpProxyCluster: string; readonly statPrefix: string };
        /** In words. */
        readonly firstFilter?: string;
      };
  readonly listenerCount?: number;
  /** Listener -> how many chains it has. */
  readonly filterChains?: Readonly<Record<string, number>>;
  /** Listeners whose last chain reads HTTP. */
  readonly httpListenerCount?: number;
}

interface Filter {
  readonly name: string;
  readonly typedConfig: { readonly cluster?: string; readonly statPrefix?: string };
}

interface ListenerJson {
  readonly name: string;
  readonly address: { readonly socketAddress: { readonly address: string; readonly portValue: number } };
  readonly useOriginalDst?: boolean;
  readonly filterChains?: readonly { readonly filters: readonly Filter[] }[];
  readonly defaultFilterChain?: { readonly filters: readonly Filter[] };
}

/** Those of the facts that are asked for. */
export function listenerFactsOf(world: World, scope: ProxyScope, facts: ListenerFacts): ListenerFacts {
  const all = listeners.names(world, scope).flatMap((name): ListenerJson[] => {
    const input = listeners.input(world, scope, name);
    if (input === undefined) return [];
    return [messageToJson(listeners.schema, listeners.build(input).message) as unknown as ListenerJson];
  });
  return {
    ...(typeof facts.listener === 'object' ? { listener: oneOf(all, facts.listener) } : {}),
    ...(facts.listenerCount === undefined ? {} : { listenerCount: all.length }),
    ...(facts.filterChains === undefined
      ? {}
      : {
          filterChains: Object.fromEntries(
            Object.keys(facts.filterChains).map((name) => [
              name,
              all.find((each) => each.name === name)?.filterChains?.length ?? 0,
            ]),
          ),
        }),
    ...(facts.httpListenerCount === undefined
      ? {}
      : {
          httpListenerCount: all.filter((each) => chainsOf(each).at(-1)?.includes(manager) === true).length,
        }),
  };
}

const manager = 'envoy.filters.network.http_connection_manager';

function chainsOf({ filterChains = [] }: ListenerJson): readonly (readonly string[])[] {
  return filterChains.map(({ filters }) => filters.map(({ name }) => name));
}

function oneOf(
  all: readonly ListenerJson[],
  asked: Exclude<ListenerFacts['listener'], string | undefined>,
): Exclude<ListenerFacts['listener'], string | undefined> {
  const found = all.find(
    ({ address }) =>
      address.socketAddress.address === asked.address && address.socketAddress.portValue === asked.port,
  );
  const { address: ip, portValue } = found?.address.socketAddress ?? { address: 'none', portValue: 0 };
  const second = found?.filterChains?.[1]?.filters.at(-1)?.typedConfig;
  const filters = found?.filterChains?.[0] ?? found?.defaultFilterChain;
  const first = filters?.filters[0];
  return {
    address: ip,
    port: portValue,
    ...(asked.name === undefined ? {} : { name: found?.name ?? '' }),
    ...(asked.useOriginalDst === undefined ? {} : { useOriginalDst: found?.useOriginalDst ?? false }),
    ...(asked.secondFilterChain === undefined
      ? {}
      : {
          secondFilterChain: { tcpProxyCluster: second?.cluster ?? '', statPrefix: second?.statPrefix ?? '' },
        }),
    ...(asked.firstFilter === undefined
      ? {}
      : {
          // Envoy's older name of the filter.
          firstFilter: `${first?.name.replace('.filters.network', '')} with ${first?.typedConfig.statPrefix === undefined ? 'no' : 'a'} statPrefix`,
        }),
  };
}
