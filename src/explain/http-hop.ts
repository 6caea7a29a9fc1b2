// The HTTP part of a pass: host, rules, and what the rule that won does.
import type { Listener } from '../api/gen/envoy/config/listener/v3/listener_pb.js';
import type { RouteAction } from '../api/gen/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '../api/gen/envoy/config/route/v3/route_pb.js';
import type { HttpConnectionManager } from '../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { typeUrlOf } from '../api/any.ts';
import { CorsSchema } from '../api/gen/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import { HTTPFaultSchema } from '../api/gen/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { FilterConfigSchema as GrpcStatsSchema } from '../api/gen/envoy/extensions/filters/http/grpc_stats/v3/config_pb.js';
import { RouterSchema } from '../api/gen/envoy/extensions/filters/http/router/v3/router_pb.js';
import type { MatchInput } from '../proxy/matchers/input.ts';
import { compilePathRewrite, compileHostRewrite } from '../proxy/router/compile-action.ts';
import { compileClauses } from '../proxy/matchers/route.ts';
import { rewritePath, withoutPort } from '../proxy/router/match.ts';
import { hostCandidates, namesOf, ruleCandidates } from './candidates.ts';
import type { Inside, Pass } from './hop.ts';
import { failureAt } from './hop.ts';
import type { RoutedRequest } from './http-stage.ts';
import { prepareTarget, routeRequest } from './http-stage.ts';
import type { RouteLevels, RuleField } from './route-settings.ts';
import { faultOf, forwardSettings, headerSettings } from './route-settings.ts';
import { answered, localAnswer } from './local-answer.ts';
import { parseFieldPath } from './sources.ts';
import type { WantedTarget } from './target-stage.ts';
import { explainTargets } from './target-stage.ts';
import { unusedRules } from './unused-rules.ts';
import { countText } from './words.ts';
import type { ActionTrace, HttpTrace, Setting, SourceRef } from './trace.ts';

export interface HttpChain {
  readonly listener: Listener;
  /** The chain's place in the listener. */
  readonly at: string;
  readonly manager: HttpConnectionManager;
  /** The client's connection is TLS, which ended here. */
  readonly tls: boolean;
  readonly notes: readonly string[];
}

/** Route names of the virtual host that takes what no other takes (Istio's names). */
const blockAll = 'block_all';

export async function explainHttp(pass: Pass, chain: HttpChain): Promise<Inside> {
  const { walk, connection } = pass;
  const { configuration, name, sources } = routesOf(pass, chain);
  const notes = [...chain.notes, ...otherHttpFilters(chain.manager)];
  const fail = (http: HttpTrace | null, failure: Inside['failure']): Inside => ({
    http,
    targets: [],
    failure,
    notes,
  });
  if (configuration === undefined) {
    const reason = `the proxy has no route configuration ${name}`;
    return fail(null, failureAt(pass, 'routes', reason, { status: 404, flag: 'NR' }));
  }
  const prepared = prepareTarget(chain.manager, pass.request, chain.tls, connection.destination.port);
  if (prepared.kind === 'rejected')
    return fail(null, failureAt(pass, 'routes', prepared.reason, { status: prepared.status }));
  const { input } = prepared;
  const routed = routeRequest(configuration, input, sources);
  const { virtualHost } = routed;
  const trace: HttpTrace = {
    routeConfiguration: configuration.name === '' ? name : configuration.name,
    authority: input.authority,
    path: input.path,
    virtualHost:
      virtualHost === undefined
        ? null
        : {
            name: virtualHost.host.name,
            domain: virtualHost.domain,
            sources: sources(`virtualHosts[${virtualHost.index}]`),
          },
    rules: routed.rules,
    action: null,
  };
  const hosts = () =>
    hostCandidates(
      walk.mesh,
      pass.side === 'gateway' ? pass.workload : walk.from,
      configuration,
      input.authority,
      walk.request.port,
    );
  if (virtualHost === undefined) {
    const reason = `no virtual host of the routes ${trace.routeConfiguration} has the host ${input.authority}`;
    const failure = failureAt(pass, 'virtual host', reason, {
      status: 404,
      flag: 'NR',
      candidates: hosts(),
    });
    return fail(trace, failure);
  }
  if (routed.httpsRedirect !== undefined) {
    const action = answered('redirect', { status: 301, location: routed.httpsRedirect });
    return { http: { ...trace, action }, targets: [], failure: null, notes };
  }
  if (routed.route === undefined) {
    const count = routed.rules.length;
    const reason =
      count === 0
        ? `${virtualHost.host.name} has no rules: no VirtualService is bound to this gateway for ${input.authority}`
        : `none of the ${countText(count, 'rule')} of ${virtualHost.host.name} matches`;
    const { workload } = pass;
    const names = namesOf(walk.mesh, workload, withoutPort(input.authority));
    const candidates = [
      ...ruleCandidates(routed.rules, input.pathOnly),
      ...(pass.side === 'inbound' ? [] : unusedRules(walk.mesh, workload, names, routed.rules)),
    ];
    const failure = failureAt(pass, 'rules', reason, { status: 404, flag: 'NR', candidates });
    return fail(trace, failure);
  }
  const { route } = routed.route;
  const action = route.action;
  const field = ruleField(pass, routed);
  const levels: RouteLevels = { configuration, virtualHost: virtualHost.host, route };
  if (action.case === 'route')
    return forward(pass, {
      trace,
      levels,
      action: action.value,
      input,
      field,
      alpn: alpnOf(chain.manager),
      notes,
    });
  const other = localAnswer(route, input);
  const http = { ...trace, action: { ...other, settings: headerSettings(levels, field) } };
  if (route.name === blockAll) {
    const reason = `no host of the mesh is ${input.authority}, and what the mesh does not know is not let out (${other.status === 502 && (other.body ?? '') === '' ? 'REGISTRY_ONLY' : 'the HTTP proxy listener reaches no other'})`;
    const failure = failureAt(pass, 'virtual host', reason, {
      status: other.status,
      candidates: hosts(),
    });
    return fail(http, failure);
  }
  return { http, targets: [], failure: null, notes };
}

interface Forward {
  readonly trace: HttpTrace;
  readonly levels: RouteLevels;
  readonly action: RouteAction;
  readonly input: MatchInput;
  readonly field: RuleField;
  /** See WantedTarget. */
  readonly alpn: readonly string[] | undefined;
  readonly notes: readonly string[];
}

async function forward(
  pass: Pass,
  { trace, levels, action, input, field, alpn, notes }: Forward,
): Promise<Inside> {
  const match = compileClauses(levels.route.match!, 'match');
  const path = rewritePath(compilePathRewrite(action, match.path, 'route'), input.path);
  const authority = rewrittenHost(action, input);
  const fault = faultOf(levels, input);
  const settings: Setting[] = [
    ...(fault === undefined
      ? []
      : [{ label: 'fault', text: fault.text, usual: false, sources: field('fault') }]),
    ...forwardSettings(
      levels,
      action,
      field,
      (cluster) => pass.proxy.configuration.cluster(cluster) !== undefined,
    ),
    ...headerSettings(levels, field),
  ];
  const forwarded: ActionTrace = {
    kind: 'forward',
    authority,
    path,
    status: null,
    location: null,
    body: null,
    settings:
      path === input.path && authority === input.authority
        ? settings
        : [rewriteSetting(input, path, authority, field), ...settings],
  };
  const http = { ...trace, action: forwarded };
  if (fault?.certainAbort !== undefined) {
    const reason = `the rule's fault answers every request with ${fault.certainAbort}`;
    return {
      http,
      targets: [],
      notes,
      failure: failureAt(pass, 'fault', reason, { status: fault.certainAbort, flag: 'FI' }),
    };
  }
  const wanted = wantedTargets(levels, action, input, { authority, path }, field);
  const targets = await explainTargets(
    pass,
    wanted.map((each) => ({ ...each, alpn })),
  );
  return { http, targets, failure: null, notes };
}

function rewriteSetting(input: MatchInput, path: string, authority: string, field: RuleField): Setting {
  const parts = [
    path === input.path ? '' : `path ${input.path} becomes ${path}`,
    authority === input.authority ? '' : `host ${input.authority} becomes ${authority}`,
  ].filter((part) => part !== '');
  return { label: 'rewrite', text: parts.join(', '), usual: false, sources: field('rewrite') };
}

function wantedTargets(
  levels: RouteLevels,
  action: RouteAction,
  input: MatchInput,
  sent: { readonly authority: string; readonly path: string },
  field: RuleField,
): readonly WantedTarget[] {
  const specifier = action.clusterSpecifier;
  const one = (cluster: string): readonly WantedTarget[] => [{ cluster, weight: 1, ...sent, isHttp: true }];
  switch (specifier.case) {
    case 'cluster':
      return one(specifier.value);
    case 'clusterHeader':
      return one(input.headers.get(specifier.value.toLowerCase()) ?? '');
    case 'weightedClusters':
      return specifier.value.clusters.map((weight): WantedTarget => {
        const host = weight.hostRewriteSpecifier;
        return {
          cluster:
            weight.name === '' ? (input.headers.get(weight.clusterHeader.toLowerCase()) ?? '') : weight.name,
          weight: weight.weight ?? 0,
          authority: host.case === 'hostRewriteLiteral' ? host.value : sent.authority,
          path: sent.path,
          isHttp: true,
          settings: headerSettings({ ...levels, weight }, field).filter(
            ({ text }) => !headerSettings(levels, field).some((known) => known.text === text),
          ),
        };
      });
    case 'clusterSpecifierPlugin':
    case 'inlineClusterSpecifierPlugin':
    case undefined:
    default:
      return one('');
  }
}

/** Throws ConfigError. `auto_host_rewrite` depends on the endpoint: the host is then shown as it was. */
function rewrittenHost(action: RouteAction, input: MatchInput): string {
  const rewrite = compileHostRewrite(action, 'route');
  switch (rewrite?.kind) {
    case 'literal':
      return rewrite.host;
    case 'header':
      return input.headers.get(rewrite.header) ?? input.authority;
    case 'pathRegex':
      return rewrite.substitution.replace(input.pathOnly);
    case 'auto':
    case undefined:
    default:
      return input.authority;
  }
}

function routesOf(
  pass: Pass,
  { listener, at, manager }: HttpChain,
): {
  readonly configuration: RouteConfiguration | undefined;
  readonly name: string;
  readonly sources: (at: string) => readonly SourceRef[];
} {
  const { configuration } = pass.proxy;
  const specifier = manager.routeSpecifier;
  if (specifier.case === 'rds') {
    const name = specifier.value.routeConfigName;
    return {
      configuration: configuration.routes(name),
      name,
      sources: (place) => configuration.sources('RDS', name, place),
    };
  }
  const inline = specifier.case === 'routeConfig' ? specifier.value : undefined;
  return {
    configuration: inline,
    name: inline?.name ?? '',
    // Nothing is recorded within a chain: what the chain came from stands for its routes.
    sources: () => configuration.sources('LDS', listener.name, at),
  };
}

/** A field of the VirtualService's rule that won. */
function ruleField({ walk }: Pass, { rules, route }: RoutedRequest): RuleField {
  const origin = rules
    .find(({ index }) => index === route?.index)
    ?.sources.find(({ kind }) => kind === 'VirtualService');
  if (origin === undefined) return () => [];
  const object = walk.mesh
    .objects('VirtualService')
    .find(({ namespace, name }) => namespace === origin.namespace && name === origin.name);
  const path = parseFieldPath(origin.field);
  const match = path.indexOf('match');
  const rule = match < 0 ? path : path.slice(0, match);
  return (...field) => {
    const found = object?.locate([...rule, ...field]);
    // Where the field is not written, its nearest parent would be shown: that is no place of it.
    return found === undefined || found.field !== fieldText(origin.field, match < 0 ? '' : '.match', field)
      ? []
      : [found];
  };
}

function fieldText(origin: string, cut: string, field: readonly string[]): string {
  const at = cut === '' ? -1 : origin.indexOf(cut);
  return [at < 0 ? origin : origin.slice(0, at), ...field].join('.');
}

/** What Istio's filter istio.alpn makes a proxy offer for HTTP/1.1 inside the mesh's mutual TLS. */
function alpnOf({ httpFilters }: HttpConnectionManager): readonly string[] | undefined {
  const tells = httpFilters.some(({ name }) => name === 'istio.alpn');
  return tells ? ['istio-http/1.1', 'istio', 'http/1.1'] : undefined;
}

/** Filters that may answer or change requests in ways that are not shown here. */
function otherHttpFilters(manager: HttpConnectionManager): readonly string[] {
  const known: readonly string[] = [RouterSchema, HTTPFaultSchema, CorsSchema, GrpcStatsSchema].map(
    typeUrlOf,
  );
  const quiet = ['istio.metadata_exchange', 'istio.alpn', 'istio.stats', 'envoy.filters.http.grpc_stats'];
  return manager.httpFilters.flatMap(({ name, configType }) => {
    const typeUrl = configType.case === 'typedConfig' ? configType.value.typeUrl : '';
    if (known.includes(typeUrl) || quiet.includes(name)) return [];
    return [`HTTP filter ${name} sees the request before the route does`];
  });
}
