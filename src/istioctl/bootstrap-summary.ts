// `proxy-config bootstrap`: what the proxy was started with.
import type { ConfigDump } from './config-dump.ts';
import { dig, objectOf, section, text, withoutType } from './config-dump.ts';
import type { JsonObject } from './json-names.ts';
import { formatTable } from './table.ts';

/** The BootstrapConfigDump, as `-o json` prints it. */
export function bootstrapOf(dump: ConfigDump): JsonObject {
  return withoutType(section(dump, 'BootstrapConfigDump'));
}

/** The versions of Istio, of its proxy and of Envoy, as far as the node says them. */
export function bootstrapSummary(dump: ConfigDump): string {
  const node = objectOf(dig(section(dump, 'BootstrapConfigDump'), 'bootstrap', 'node'));
  const rows: string[][] = [];
  const istioVersion = text(dig(node, 'metadata', 'ISTIO_VERSION'));
  if (istioVersion !== '') rows.push(['Istio Version:', istioVersion]);
  const sha = text(dig(node, 'metadata', 'ISTIO_PROXY_SHA'));
  const proxyVersion = sha.includes(':') ? (sha.split(':')[1] ?? '') : sha;
  if (proxyVersion !== '') rows.push(['Istio Proxy Version:', proxyVersion]);
  rows.push(['Envoy Version:', envoyVersion(objectOf(node['userAgentBuildVersion']))]);
  return formatTable(rows, 1);
}

function envoyVersion(build: JsonObject): string {
  const number = (name: string): string => text(dig(build, 'version', name)) || '0';
  const metadata = objectOf(build['metadata']);
  let version = `${number('majorNumber')}.${number('minorNumber')}.${number('patch')}`;
  if (metadata['build.label'] !== undefined) version += `-${text(metadata['build.label'])}`;
  for (const key of ['revision.status', 'build.type', 'ssl.version'])
    if (metadata[key] !== undefined) version += `/${text(metadata[key])}`;
  return version;
}
