// Istio's small worlds with EnvoyFilters: whom a selector reaches, and extension configs by name.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { istioTestdata, reportFamily } from '../../../test/support/istio-testdata.ts';
import { PatchedProxy } from '../../../test/support/envoy-filters.ts';

interface Case {
  readonly name: string;
  readonly heldOut: boolean;
  readonly configFiles?: readonly string[];
  readonly proxy?: {
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly ipAddresses?: readonly string[];
  };
  readonly request?: { readonly names: readonly string[] };
  readonly expected?: {
    readonly listener?: string;
    readonly hasLuaFilter?: boolean;
    readonly httpListenerCount?: number;
    readonly firstResource?: string;
  };
}

const folder = istioTestdata('xds');

test.skipIf(folder === undefined)(
  'listeners, extensionConfigs: as in Istio’s worlds (partly C13.06)',
  (context) => {
    const { cases } = JSON.parse(readFileSync(join(folder ?? '', 'cases.json'), 'utf8')) as { cases: Case[] };
    const open = cases.filter(
      ({ heldOut, expected }) =>
        !heldOut && (expected?.hasLuaFilter !== undefined || expected?.firstResource === 'extension-config'),
    );
    for (const { name, configFiles = [], proxy, request, expected = {} } of open) {
      const yaml = configFiles.map((file) => readFileSync(join(folder ?? '', file), 'utf8')).join('\n---\n');
      const { namespace = 'default', labels = {}, ipAddresses = ['10.1.0.1'] } = proxy ?? {};
      const patched = new PatchedProxy(yaml, { namespace, labels, ipAddresses });
      if (expected.firstResource !== undefined) {
        const config = patched.resource('extensionConfigs', request?.names[0] ?? '');
        expect(config?.json['name'], name).toBe(expected.firstResource);
        continue;
      }
      const listener = JSON.stringify(patched.resource('listeners', expected.listener ?? '')?.json);
      expect(listener.includes('envoy.lua'), name).toBe(expected.hasLuaFilter);
      expect(listener.split('"envoy.filters.network.http_connection_manager"').length - 1, name).toBe(
        expected.httpListenerCount,
      );
    }
    expect(open.length).toBeGreaterThan(2);
    reportFamily(context, { family: 'xds', passed: open.length, total: open.length });
  },
);
