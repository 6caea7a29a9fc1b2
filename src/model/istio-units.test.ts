// Istio's own tables (family `units` of its test data) about names, protocols and headers.
import { describe, test } from 'vitest';
import { parse } from 'yaml';
import { theirProtocol } from '../../test/support/istio-objects.ts';
import type { UnitCheck } from '../../test/support/istio-units.ts';
import { runUnits, unitsFolder } from '../../test/support/istio-units.ts';
import { parseClusterName, parseDnsSrvClusterName } from './cluster-name.ts';
import { compareSpecificity } from './hostname.ts';
import { protocolOfPort } from './protocol.ts';
import type { WrittenProxyHeaders } from './proxy-headers.ts';
import { mergeProxyHeaders, readProxyHeaders } from './proxy-headers.ts';

interface PortCase {
  readonly portName?: string;
  readonly port?: number;
  readonly proto?: string;
  readonly appProto?: string;
}

interface TheirHeaders {
  readonly forwardedClientCert: string;
  readonly includeRequestAttemptCount: boolean;
  readonly generateRequestID: unknown;
  readonly suppressDebugHeaders: boolean;
  readonly serverHeaderTransformation: string;
  readonly xForwardedPort: boolean;
  readonly xForwardedHost: boolean;
}

const checks: Readonly<Record<string, UnitCheck>> = {
  'pkg/config/host.MoreSpecific': (
    { host1, host2 }: { host1: string; host2: string },
    { expected }: { expected: boolean },
  ) => [compareSpecificity(host1, host2) <= 0, expected],
  'pkg/config/kube.ConvertProtocol': (
    { portName = '', port = 0, proto = '', appProto }: PortCase,
    { expectedProto }: { expectedProto: string },
  ) => [
    theirProtocol(protocolOfPort({ name: portName, number: port, transport: proto, appProtocol: appProto })),
    expectedProto,
  ],
  'pilot/pkg/model.ParseSubsetKeyHostname': ({ in: name }: { in: string }, { out }: { out: string }) => [
    (parseClusterName(name) ?? parseDnsSrvClusterName(name))?.hostname ?? '',
    out,
  ],
  'pkg/config/mesh.ProxyConfigMerge': (
    { base, overlay }: { base: string; overlay: string },
    { result }: { result: string },
  ) => [mergeProxyHeaders(headersOf(base), headersOf(overlay)), headersOf(result)],
  'pilot/pkg/networking/util.GetProxyHeadersFromProxyConfig': (
    { config }: { config: { proxyHeaders?: WrittenProxyHeaders } | null },
    { expected }: { expected: TheirHeaders },
  ) => {
    const ours = readProxyHeaders(config?.proxyHeaders);
    return [
      ours,
      {
        ...ours,
        forwardClientCert: expected.forwardedClientCert,
        passesServer: expected.serverHeaderTransformation === 'PASS_THROUGH',
        requestId: expected.generateRequestID === null,
        attemptCount: expected.includeRequestAttemptCount,
        debugHeaders: !expected.suppressDebugHeaders,
        forwardedHost: expected.xForwardedHost,
        forwardedPort: expected.xForwardedPort,
      },
    ];
  },
};

function headersOf(text: string): WrittenProxyHeaders {
  return (parse(text) as { proxyHeaders: WrittenProxyHeaders }).proxyHeaders;
}

describe.skipIf(unitsFolder === undefined)('istio-testdata: units', () => {
  test('names, protocols, headers (partly C2.01, C4.01)', (context) => {
    runUnits(context, checks);
  });
});
