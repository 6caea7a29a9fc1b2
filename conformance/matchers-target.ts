// Decides steps without any proxy: the case's objects are translated, and the matchers that the proxy
// uses say what would become of the request.
import type { RouteConfiguration } from '../src/api/gen/envoy/config/route/v3/route_pb.js';
import { builtInGateway, builtInGatewayService } from '../src/kubelet/gateway.ts';
import { compileRoutes } from '../src/proxy/router/compile.ts';
import type { RouteDecision } from '../src/proxy/router/match.ts';
import { matchRequest } from '../src/proxy/router/match.ts';
import type { MatchInput } from '../src/proxy/matchers/input.ts';
import { matchInput } from '../src/proxy/matchers/input.ts';
import { routes } from '../src/translate/index.ts';
import { proxyScope } from '../src/translate/scope.ts';
import { configsOfYaml, proxyNode, worldOf } from '../test/support/world.ts';
import type { CaseRequest, ConformanceCase, Decision, Step } from './case.ts';

const rootNamespace = 'istio-system';
const gatewayLabels = builtInGateway(rootNamespace).spec.template?.metadata?.labels ?? {};

/** How many draws stand for chance: weights come out as counts of these. */
const draws = 100;

/** What is not as the step's `decision` says; empty if all is. */
export function decide(conformanceCase: ConformanceCase, step: Step): string[] {
  const wanted = step.expect.decision ?? {};
  const compiled = compileRoutes(routeConfigurationFor(conformanceCase, step.from));
  const decisions = Array.from({ length: draws }, (_, draw) =>
    matchRequest(compiled, { ...requestInput(step.request), random: () => (draw + 0.5) / draws }),
  );
  const [first] = decisions;
  if (first === undefined) throw new Error('no decision');
  return differences(wanted, first, decisions).map((difference) => `${difference} (${first.reason})`);
}

function routeConfigurationFor({ config, namespace }: ConformanceCase, from: string): RouteConfiguration {
  const world = worldOf([...configsOfYaml(config), builtInGatewayService(rootNamespace)]);
  const node =
    from === 'gateway'
      ? proxyNode({
          type: 'router',
          namespace: rootNamespace,
          labels: gatewayLabels,
          interceptionMode: 'LOOPBACK',
        })
      : proxyNode({
          namespace,
          labels: { app: from, version: 'v1' },
          interceptionMode: 'LOOPBACK',
          httpProxyPort: 15080,
        });
  const scope = proxyScope(world, node);
  const name = from === 'gateway' ? 'http.8080' : 'http_proxy';
  const input = routes.input(world, scope, name);
  if (input === undefined) throw new Error(`no route configuration ${name}`);
  return routes.build(input).message;
}

function requestInput({ method, url, headers }: CaseRequest): MatchInput {
  const host = Object.entries(headers).find(([name]) => name.toLowerCase() === 'host')?.[1];
  return matchInput({
    method,
    authority: (host ?? new URL(url).host).toLowerCase(),
    // The raw text after the host: `URL` would fold `//x` and `..` that the proxy has to see.
    path: /^[a-z]+:\/\/[^/]+(\/.*)$/.exec(url)?.[1] ?? '/',
    headers,
  });
}

function differences(wanted: Decision, first: RouteDecision, decisions: readonly RouteDecision[]): string[] {
  const found: string[] = [];
  const same = (what: string, expected: unknown, actual: unknown): void => {
    if (expected !== undefined && expected !== actual) {
      found.push(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual ?? null)}`);
    }
  };
  if (typeof wanted.cluster === 'object') {
    const counts: Record<string, number> = {};
    for (const { cluster = '' } of decisions) counts[cluster] = (counts[cluster] ?? 0) + 1;
    same('clusters', JSON.stringify(sorted(wanted.cluster)), JSON.stringify(sorted(counts)));
  } else same('cluster', wanted.cluster, first.cluster);
  same('virtual host', wanted.virtualHost, first.virtualHost);
  same('path', wanted.path, first.path);
  same('host', wanted.host, first.host);
  same('location', wanted.redirect, first.location);
  if (wanted.directStatus !== undefined) {
    same('kind', 'direct', first.kind);
    same('status', wanted.directStatus, first.status);
  }
  if (wanted.notRouted === true && first.kind !== 'no-route' && first.kind !== 'no-virtual-host') {
    found.push(`expected no route, got ${first.kind}`);
  }
  return found;
}

function sorted(counts: Readonly<Record<string, number>>): [string, number][] {
  return Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1));
}
