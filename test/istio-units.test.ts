// Every group of Istio's function tables is run by a test of the room that it is about, or left out for a reason.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { unitCases, unitsFolder } from './support/istio-units.ts';

/** Beginning of a group's name -> why it is not run. */
const leftOut: Readonly<Record<string, string>> = {
  'pkg/kube/inject.': 'injection is not built',
  'pilot/cmd/pilot-agent/status.': 'the agent has no status port',
  'pkg/envoy.': 'the agent has no status port; log levels are set over the admin page',
  'pkg/bootstrap.ParseDownwardApi': 'pods have no files of the downward API',
  'pkg/config/security.': 'AuthorizationPolicy and RequestAuthentication are not built',
  'pilot/pkg/security/authz/': 'AuthorizationPolicy is not built',
  'pilot/pkg/security/trustdomain.': 'principals are AuthorizationPolicy’s, which is not built',
  'pilot/pkg/security/authn.BuildSpaceDelimitedClaims': 'RequestAuthentication is not built',
  'pilot/pkg/model.AuthorizationPolicies_ListAuthorizationPolicies': 'AuthorizationPolicy is not built',
  'pilot/pkg/model.PolicyMatcher':
    'policies attached by targetRefs are those of waypoints, and of kinds not built',
  'pilot/pkg/model.CompareJWKSResponse': 'keys of issuers are not fetched',
  'pilot/pkg/model.ValidateJWKSFormat': 'keys of issuers are not fetched',
  'pilot/pkg/model.JwksBlockedIP': 'keys of issuers are not fetched',
  'pilot/pkg/model.AccessLogging': 'Telemetry is not built',
  'pilot/pkg/model.Tracing': 'Telemetry is not built',
  'pilot/pkg/model.TelemetryFilters': 'Telemetry is not built',
  'pilot/pkg/model.BuildDataSource': 'WasmPlugin is not built',
  'pilot/pkg/model.FailurePolicy': 'WasmPlugin is not built',
  'pilot/pkg/model.MatchListener': 'WasmPlugin is not built',
  'pkg/wasm.': 'WasmPlugin is not built',
  'pilot/pkg/model/credentials.ParseResourceName': 'Secrets are not served',
  'pkg/security.SdsCertificateConfigFromResourceName': 'the agent serves no files as secrets',
  'pkg/spiffe.Identity': 'nobody’s identity is read: certificates are not issued',
  'security/': 'certificates are not issued',
  'pkg/config/mesh.DeepMerge': 'there is one MeshConfig, over defaults without providers',
  'pilot/pkg/model.SupportsUnhealthyEndpoints':
    'about two flags of the environment that are not settings here',
  'pilot/pkg/model.ProxyVersion_Compare': 'no behaviour depends on a proxy’s version',
  'pilot/pkg/model.parseIstioVersion': 'no behaviour depends on a proxy’s version',
  'pkg/config/labels.String': 'labels are not written as text',
  'pilot/pkg/networking/util.ByteCount': 'a text of istiod’s log',
  'operator/': 'there is no operator: values of its charts mean nothing here',
};

test.skipIf(unitsFolder === undefined)(
  'istio-testdata: units: every group is run, or left out for a reason',
  () => {
    const source = join(import.meta.dirname, '../src');
    const tests = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.test.ts'),
    );
    const text = tests.map((file) => readFileSync(join(source, file), 'utf8')).join('\n');
    const groups = [...new Set(unitCases().map(({ group }) => group))];
    const isRun = (group: string): boolean => text.includes(`'${group}'`);
    const reasons = Object.keys(leftOut);
    const reasonOf = (group: string): string | undefined => reasons.find((start) => group.startsWith(start));
    const rest = groups.filter((group) => !isRun(group));
    expect(rest.filter((group) => reasonOf(group) === undefined)).toEqual([]);
    expect(groups.filter((group) => isRun(group) && reasonOf(group) !== undefined)).toEqual([]);
    expect(reasons.filter((start) => !rest.some((group) => group.startsWith(start)))).toEqual([]);
  },
);
