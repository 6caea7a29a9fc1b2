// Istio's own tables (family `units` of its test data) about which namespaces see a host.
import { describe, test } from 'vitest';
import type { UnitCheck } from '../../test/support/istio-units.ts';
import { runUnits, unitsFolder } from '../../test/support/istio-units.ts';
import { annotatedScopes, exportScopes } from './hosts.ts';

const checks: Readonly<Record<string, UnitCheck>> = {
  'pkg/config/analysis/analyzers/util.ScopedFqdn_InScopeOf': (
    { scFqdn, namespace }: { scFqdn: string; namespace: string },
    { want }: { want: boolean },
  ) => {
    const [scope = '', host = ''] = scFqdn.split('/');
    const scopes = exportScopes([scope], host.split('.')[1] ?? '');
    return [scopes.includes('*') || scopes.includes(namespace), want];
  },
  'pkg/config/analysis/analyzers/util.GetVisibleNamespacesFromExportToAnno': (
    { annotation, resourceNamespace }: { annotation: string; resourceNamespace: string },
    { want }: { want: readonly string[] },
  ) => [annotatedScopes(annotation, resourceNamespace), want],
};

describe.skipIf(unitsFolder === undefined)('istio-testdata: units', () => {
  test('scopes of hosts', (context) => {
    runUnits(context, checks);
  });
});
