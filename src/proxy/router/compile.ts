// Compiles a RouteConfiguration when it arrives, so that a request does no configuration work.
import type { Route, VirtualHost } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import {
  RouteSchema,
  VirtualHost_TlsRequirementType as TlsRequirement,
  VirtualHostSchema,
} from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { ConfigError, unknownEnum } from '../config-error.ts';
import { compileRouteMatch } from '../matchers/route.ts';
import { refuseFields } from '../refuse-fields.ts';
import { compileAction } from './compile-action.ts';
import { compileFilterConfigs, mergeFilterConfigs } from './compile-filter-configs.ts';
import type {
  CompiledRoute,
  CompiledRoutes,
  CompiledVirtualHost,
  DomainPattern,
  FilterConfigs,
  HostTable,
} from './compiled.ts';
import type { HeaderMutations } from './header-mutations.ts';
import { compileHeaderMutations, joinMutations } from './header-mutations.ts';

/** What stands above a route and takes part in what happens to its requests. */
export interface Levels {
  readonly requestHeaders: HeaderMutations | undefined;
  readonly responseHeaders: HeaderMutations | undefined;
  readonly filterConfigs: FilterConfigs | undefined;
  readonly mostSpecificWins: boolean;
  readonly virtualHost: VirtualHost;
  readonly configuration: RouteConfiguration;
}

/** Throws ConfigError with the path of the field that cannot be served. */
export function compileRoutes(configuration: RouteConfiguration): CompiledRoutes {
  return compileParts(configuration, new Map());
}

/**
 * As compileRoutes, taking from `known` those virtual hosts that were compiled under equal settings of the
 * configuration around them, and at the same place.
 */
export function compileParts(
  configuration: RouteConfiguration,
  known: ReadonlyMap<VirtualHost, CompiledVirtualHost>,
): CompiledRoutes {
  refuseFields(
    RouteConfigurationSchema,
    configuration,
    '',
    new Set([
      'name',
      'virtual_hosts',
      'internal_only_headers',
      'response_headers_to_add',
      'response_headers_to_remove',
      'request_headers_to_add',
      'request_headers_to_remove',
      'most_specific_header_mutations_wins',
      // The control plane's own check; the proxy answers 503 NC for a missing cluster at request time.
      'validate_clusters',
      'max_direct_response_body_size_bytes',
      'request_mirror_policies',
      'ignore_port_in_host_matching',
      'typed_per_filter_config',
      'metadata',
    ]),
  );
  // What is compiled outlives this version of the configuration: it must not hold the other hosts.
  const around = { ...configuration, virtualHosts: [] };
  const virtualHosts = configuration.virtualHosts.map((virtualHost, index) => {
    const same = known.get(virtualHost);
    return same?.index === index ? same : compileVirtualHost(virtualHost, index, around);
  });
  return {
    name: configuration.name,
    source: configuration,
    virtualHosts,
    ...compileHostTable(configuration, virtualHosts),
    internalOnlyHeaders: configuration.internalOnlyHeaders.map((name) => name.toLowerCase()),
  };
}

/**
 * `hosts` stand for the virtual hosts, in their order. A domain may stand only once in a configuration, whatever
 * its case (Envoy NACKs; notes 45719, 49368): throws ConfigError.
 */
export function compileHostTable<Host>(
  configuration: RouteConfiguration,
  hosts: readonly Host[],
): HostTable<Host> {
  const exact = new Map<string, Host>();
  const suffixes: DomainPattern<Host>[] = [];
  const prefixes: DomainPattern<Host>[] = [];
  let any: Host | undefined;
  const owners = new Map<string, string>();
  for (const [index, { name, domains }] of configuration.virtualHosts.entries()) {
    const virtualHost = hosts[index]!;
    for (const [domainIndex, domain] of domains.entries()) {
      const lower = domain.toLowerCase();
      const field = `virtual_hosts[${index}].domains[${domainIndex}]`;
      const owner = owners.get(lower);
      if (owner !== undefined)
        throw new ConfigError(
          field,
          `${domain} is already a domain of the virtual host ${owner}; a domain may stand once`,
        );
      owners.set(lower, name);
      if (lower === '*') any = virtualHost;
      else if (lower.startsWith('*')) suffixes.push({ text: lower.slice(1), virtualHost });
      else if (lower.endsWith('*')) prefixes.push({ text: lower.slice(0, -1), virtualHost });
      else exact.set(lower, virtualHost);
    }
  }
  const longestFirst = (a: DomainPattern<Host>, b: DomainPattern<Host>): number =>
    b.text.length - a.text.length;
  return {
    exact,
    suffixes: suffixes.sort(longestFirst),
    prefixes: prefixes.sort(longestFirst),
    any,
    ignorePort: configuration.ignorePortInHostMatching,
  };
}

function compileVirtualHost(
  virtualHost: VirtualHost,
  index: number,
  configuration: RouteConfiguration,
): CompiledVirtualHost {
  const field = `virtual_hosts[${index}]`;
  refuseFields(
    VirtualHostSchema,
    virtualHost,
    field,
    new Set([
      'name',
      'domains',
      'routes',
      'require_tls',
      'request_headers_to_add',
      'request_headers_to_remove',
      'response_headers_to_add',
      'response_headers_to_remove',
      'typed_per_filter_config',
      'include_request_attempt_count',
      'include_attempt_count_in_response',
      'retry_policy',
      'per_request_buffer_limit_bytes',
      'request_mirror_policies',
      'metadata',
    ]),
  );
  if (virtualHost.domains.length === 0)
    throw new ConfigError(`${field}.domains`, 'needs at least one domain');
  const compiled: { -readonly [K in keyof CompiledVirtualHost]: CompiledVirtualHost[K] } = {
    index,
    name: virtualHost.name,
    routes: [],
    requireTls: tlsRequirement(virtualHost),
    attemptCountInRequest: virtualHost.includeRequestAttemptCount,
    attemptCountInResponse: virtualHost.includeAttemptCountInResponse,
  };
  const levels = levelsAbove(virtualHost, field, configuration);
  compiled.routes = virtualHost.routes.map((route, routeIndex) =>
    compileRoute(route, routeIndex, compiled, levels, `${field}.routes[${routeIndex}]`),
  );
  return compiled;
}

function levelsAbove(virtualHost: VirtualHost, field: string, configuration: RouteConfiguration): Levels {
  const mostSpecificWins = configuration.mostSpecificHeaderMutationsWins;
  const join = (
    own: HeaderMutations | undefined,
    above: HeaderMutations | undefined,
  ): HeaderMutations | undefined =>
    mostSpecificWins ? joinMutations(above, own) : joinMutations(own, above);
  return {
    requestHeaders: join(
      compileHeaderMutations(
        virtualHost.requestHeadersToAdd,
        virtualHost.requestHeadersToRemove,
        `${field}.request_headers`,
      ),
      compileHeaderMutations(
        configuration.requestHeadersToAdd,
        configuration.requestHeadersToRemove,
        'request_headers',
      ),
    ),
    responseHeaders: join(
      compileHeaderMutations(
        virtualHost.responseHeadersToAdd,
        virtualHost.responseHeadersToRemove,
        `${field}.response_headers`,
      ),
      compileHeaderMutations(
        configuration.responseHeadersToAdd,
        configuration.responseHeadersToRemove,
        'response_headers',
      ),
    ),
    filterConfigs: mergeFilterConfigs(
      compileFilterConfigs(configuration.typedPerFilterConfig, 'typed_per_filter_config'),
      compileFilterConfigs(virtualHost.typedPerFilterConfig, `${field}.typed_per_filter_config`),
    ),
    mostSpecificWins,
    virtualHost,
    configuration,
  };
}

function compileRoute(
  route: Route,
  index: number,
  virtualHost: CompiledVirtualHost,
  levels: Levels,
  field: string,
): CompiledRoute {
  refuseFields(
    RouteSchema,
    route,
    field,
    new Set([
      'name',
      'match',
      'route',
      'redirect',
      'direct_response',
      'non_forwarding_action',
      'metadata',
      // Names spans; a proxy without tracing sends no x-envoy-decorator-operation, as Envoy.
      'decorator',
      'typed_per_filter_config',
      'request_headers_to_add',
      'request_headers_to_remove',
      'response_headers_to_add',
      'response_headers_to_remove',
      // Only has an effect together with tracing or statistics of their own, which are not there.
      'tracing',
      'stat_prefix',
      'per_request_buffer_limit_bytes',
    ]),
  );
  if (route.match === undefined) throw new ConfigError(`${field}.match`, 'is missing');
  const match = compileRouteMatch(route.match, `${field}.match`);
  const own = {
    request: compileHeaderMutations(
      route.requestHeadersToAdd,
      route.requestHeadersToRemove,
      `${field}.request_headers`,
    ),
    response: compileHeaderMutations(
      route.responseHeadersToAdd,
      route.responseHeadersToRemove,
      `${field}.response_headers`,
    ),
  };
  const join = (
    mine: HeaderMutations | undefined,
    above: HeaderMutations | undefined,
  ): HeaderMutations | undefined =>
    levels.mostSpecificWins ? joinMutations(above, mine) : joinMutations(mine, above);
  const requestHeaders = join(own.request, levels.requestHeaders);
  const responseHeaders = join(own.response, levels.responseHeaders);
  const filterConfigs = mergeFilterConfigs(
    levels.filterConfigs,
    compileFilterConfigs(route.typedPerFilterConfig, `${field}.typed_per_filter_config`),
  );
  return {
    index,
    name: route.name,
    virtualHost,
    match,
    action: compileAction(
      route,
      match.path,
      { ...levels, requestHeaders, responseHeaders, filterConfigs },
      field,
    ),
    requestHeaders,
    responseHeaders,
    filterConfigs,
  };
}

function tlsRequirement(virtualHost: VirtualHost): CompiledVirtualHost['requireTls'] {
  switch (virtualHost.requireTls) {
    case TlsRequirement.NONE:
      return 'none';
    case TlsRequirement.EXTERNAL_ONLY:
      return 'external';
    case TlsRequirement.ALL:
      return 'all';
    default:
      throw unknownEnum('require_tls', virtualHost.requireTls);
  }
}
