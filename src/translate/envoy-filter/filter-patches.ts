// Patches of network filters, of HTTP filters, and of routes that stand inside a listener.
import type { Filter, FilterChain } from '../../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import { FilterSchema } from '../../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import type { Listener } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import type {
  HttpConnectionManager,
  HttpFilter,
} from '../../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import {
  HttpConnectionManagerSchema,
  HttpFilterSchema,
} from '../../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { packAny, unpackAs } from '../../api/any.ts';
import { mergeMessage } from '../../api/merge.ts';
import type { EnvoyPatch } from '../../config/envoy-filter/select.ts';
import { httpConnectionManagerName } from '../listener/http-connection-manager.ts';
import { editList } from './edit-list.ts';
import {
  matchesChain,
  matchesHttpFilter,
  matchesNetworkFilter,
  namesHttpFilter,
  namesNetworkFilter,
} from './listener-match.ts';
import type { RoutePatchesOf } from './listener-patches.ts';
import { mergeAny } from './merge-any.ts';
import { valueOf } from './patches.ts';
import type { Places } from './places.ts';
import { patchRoutes, routePaths } from './route-patches.ts';

/** Patches the filters of a listener's chains, one chain after the other; `finish` writes what was opened. */
export class NetworkFilterPatcher {
  readonly #listener: Listener;
  readonly #network: readonly EnvoyPatch[];
  readonly #http: readonly EnvoyPatch[];
  readonly #places: Places;
  /** Connection managers that were opened: their parts are theirs alone until `finish`. */
  readonly #managers = new Map<Filter, HttpConnectionManager>();

  constructor(listener: Listener, patches: readonly EnvoyPatch[], places: Places) {
    this.#listener = listener;
    this.#network = patches.filter(({ applyTo }) => applyTo === 'NETWORK_FILTER');
    this.#http = patches.filter(({ applyTo }) => applyTo === 'HTTP_FILTER');
    this.#places = places;
  }

  /** Inbound routes stand in the connection manager itself; they are patched before it. */
  patchInlineRoutes(routePatches: readonly RoutePatchesOf[]): void {
    if (routePatches.length === 0) return;
    for (const chain of chainsOf(this.#listener)) {
      for (const filter of chain.filters) {
        const routes = this.#open(filter)?.routeSpecifier;
        if (routes?.case !== 'routeConfig') continue;
        const patches = routePatches.find(({ name }) => name === routes.value.name)?.patches ?? [];
        const { name } = routes.value;
        patchRoutes(routes.value, patches, this.#places);
        routes.value.name = name;
      }
    }
  }

  /** First what adds, replaces and takes away, over the whole chain; then what merges, filter by filter. */
  patchChain(chain: FilterChain): void {
    const network = this.#network.filter((patch) => matchesChain(this.#listener, chain, patch));
    for (const patch of network) {
      editList(chain.filters, {
        patch,
        isAimed: namesNetworkFilter(patch),
        matches: (filter) => matchesNetworkFilter(filter, patch),
        make: () => {
          const value = valueOf(FilterSchema, patch);
          if (value !== undefined) this.#places.added(value, patch);
          return value;
        },
      });
    }
    const http = this.#http.filter((patch) => matchesChain(this.#listener, chain, patch));
    for (const filter of chain.filters) {
      for (const patch of network)
        if (patch.operation === 'MERGE' && matchesNetworkFilter(filter, patch))
          this.#mergeNetwork(filter, patch);
      if (filter.name === httpConnectionManagerName)
        this.#patchHttp(
          filter,
          http.filter((patch) => matchesNetworkFilter(filter, patch)),
        );
    }
  }

  /** Puts opened connection managers back into their filters. */
  finish(): void {
    for (const [filter, manager] of this.#managers)
      filter.configType = { case: 'typedConfig', value: packAny(HttpConnectionManagerSchema, manager) };
  }

  /** Paths of the listener and all its parts, after the patches. */
  paths(): ReadonlyMap<object, string> {
    const paths = new Map<object, string>([[this.#listener, '']]);
    for (const [index, filter] of this.#listener.listenerFilters.entries())
      paths.set(filter, `listenerFilters[${index}]`);
    for (const [index, chain] of this.#listener.filterChains.entries())
      this.#addChain(paths, chain, `filterChains[${index}]`);
    const { defaultFilterChain } = this.#listener;
    if (defaultFilterChain !== undefined) this.#addChain(paths, defaultFilterChain, 'defaultFilterChain');
    return paths;
  }

  #addChain(paths: Map<object, string>, chain: FilterChain, at: string): void {
    paths.set(chain, at);
    for (const [index, filter] of chain.filters.entries()) {
      const place = `${at}.filters[${index}]`;
      paths.set(filter, place);
      const manager = this.#managers.get(filter);
      for (const [inner, httpFilter] of (manager?.httpFilters ?? []).entries())
        paths.set(httpFilter, `${place}.httpFilters[${inner}]`);
      if (manager?.routeSpecifier.case !== 'routeConfig') continue;
      for (const [part, path] of routePaths(manager.routeSpecifier.value, `${place}.routeConfig`))
        paths.set(part, path);
    }
  }

  /** Undefined for filters that are no connection manager. */
  #open(filter: Filter): HttpConnectionManager | undefined {
    const known = this.#managers.get(filter);
    if (known !== undefined) return known;
    const { configType } = filter;
    const config = configType.case === 'typedConfig' ? configType.value : undefined;
    const manager = unpackAs(config, HttpConnectionManagerSchema);
    if (manager !== undefined) this.#managers.set(filter, manager);
    return manager;
  }

  /** A patch may give another name, and settings that are merged; filters without settings stay as they are. */
  #mergeNetwork(filter: Filter, patch: EnvoyPatch): void {
    const value = valueOf(FilterSchema, patch);
    const { configType } = filter;
    if (value === undefined || configType.case !== 'typedConfig') return;
    if (value.configType.case === 'typedConfig') {
      const settings = value.configType.value;
      const manager = this.#open(filter);
      const wanted = unpackAs(settings, HttpConnectionManagerSchema);
      if (manager === undefined) configType.value = mergeAny(configType.value, settings) ?? configType.value;
      else if (wanted !== undefined) mergeMessage(HttpConnectionManagerSchema, manager, wanted);
    }
    if (value.name !== '') filter.name = value.name;
    this.#places.merged(filter, patch);
  }

  #patchHttp(filter: Filter, patches: readonly EnvoyPatch[]): void {
    const manager = patches.length === 0 ? undefined : this.#open(filter);
    if (manager === undefined) return;
    for (const patch of patches) {
      editList(manager.httpFilters, {
        patch,
        isAimed: namesHttpFilter(patch),
        matches: (httpFilter) => matchesHttpFilter(httpFilter, patch),
        make: () => {
          const value = valueOf(HttpFilterSchema, patch);
          if (value !== undefined) this.#places.added(value, patch);
          return value;
        },
      });
    }
    for (const httpFilter of manager.httpFilters)
      for (const patch of patches)
        if (patch.operation === 'MERGE' && matchesHttpFilter(httpFilter, patch))
          this.#mergeHttp(httpFilter, patch);
  }

  #mergeHttp(filter: HttpFilter, patch: EnvoyPatch): void {
    const value = valueOf(HttpFilterSchema, patch);
    const { configType } = filter;
    if (value === undefined || configType.case !== 'typedConfig') return;
    if (value.configType.case === 'typedConfig')
      configType.value = mergeAny(configType.value, value.configType.value) ?? configType.value;
    if (value.name !== '') filter.name = value.name;
    this.#places.merged(filter, patch);
  }
}

function chainsOf({ filterChains, defaultFilterChain }: Listener): readonly FilterChain[] {
  return defaultFilterChain === undefined ? filterChains : [...filterChains, defaultFilterChain];
}
