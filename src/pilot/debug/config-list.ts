// Objects as Kubernetes writes them, with what is wrong with each.
import type { Config, Diagnostic } from '../../config/config.ts';
import { configKey, formatDiagnostic, kindName } from '../../config/config.ts';
import type { ConfigStore } from '../../config/store.ts';
import { formatFieldPath } from '../../model/origin.ts';

/**
 * Every object in force; those with complaints have `diagnostics`. An object that is refused and has no
 * earlier version stands at the end with its diagnostics and `inForce: false`, and so do texts that
 * could not be read as an object.
 */
export function configList(store: ConfigStore): readonly Record<string, unknown>[] {
  const complaints = new Map<string, Diagnostic[]>();
  for (const diagnostic of store.diagnostics()) {
    const key = diagnostic.object === undefined ? '' : configKey(diagnostic.object);
    const known = complaints.get(key);
    if (known === undefined) complaints.set(key, [diagnostic]);
    else known.push(diagnostic);
  }
  const list: Record<string, unknown>[] = [];
  for (const config of store.all()) {
    const key = configKey(config);
    const diagnostics = complaints.get(key);
    complaints.delete(key);
    list.push({
      ...kubeObject(config),
      ...(diagnostics === undefined ? {} : { diagnostics: diagnostics.map(diagnosticJson) }),
    });
  }
  for (const diagnostics of complaints.values()) {
    const object = diagnostics[0]?.object;
    list.push({
      kind: kindName(object?.kind ?? ''),
      metadata: { name: object?.name ?? '', namespace: object?.namespace ?? '' },
      inForce: false,
      diagnostics: diagnostics.map(diagnosticJson),
    });
  }
  return list;
}

function kubeObject(config: Config): Record<string, unknown> {
  const { file, line, column } = config.locate([]);
  return {
    apiVersion: config.group === '' ? config.version : `${config.group}/${config.version}`,
    kind: kindName(config.kind),
    metadata: {
      name: config.name,
      namespace: config.namespace,
      ...(Object.keys(config.labels).length === 0 ? {} : { labels: config.labels }),
      ...(Object.keys(config.annotations).length === 0 ? {} : { annotations: config.annotations }),
      ...(config.creationTimeMs === 0
        ? {}
        : { creationTimestamp: new Date(config.creationTimeMs).toISOString() }),
      ...(config.deletionTimeMs === undefined
        ? {}
        : { deletionTimestamp: new Date(config.deletionTimeMs).toISOString() }),
    },
    // Secrets are not ours to show; of what else there is, the user wrote all.
    ...(config.kind === 'Secret' ? {} : { spec: config.spec }),
    ...(config.status === undefined ? {} : { status: config.status }),
    source: `${file}:${line}:${column}`,
  };
}

function diagnosticJson(diagnostic: Diagnostic): Record<string, unknown> {
  return {
    severity: diagnostic.severity,
    code: diagnostic.code,
    message: diagnostic.message,
    field: formatFieldPath(diagnostic.fieldPath),
    file: diagnostic.position.file,
    line: diagnostic.position.line,
    column: diagnostic.position.column,
    text: formatDiagnostic(diagnostic),
  };
}
