// `version`: who runs which release.
import { fairleadVersion } from '../base/version.ts';
import type { ControlPlane } from './control-plane.ts';
import { connectedProxies } from './proxies.ts';

export interface VersionReport {
  readonly clientVersion: { readonly version: string };
  readonly meshVersion?: readonly {
    readonly Component: string;
    readonly Info: { readonly version: string };
  }[];
  readonly dataPlaneVersion?: readonly { readonly ID: string; readonly IstioVersion: string }[];
}

/** Without a control plane: the client alone. */
export function clientReport(): VersionReport {
  return { clientVersion: { version: fairleadVersion } };
}

/** Throws a UserError where the control plane cannot be reached. */
export async function remoteReport(controlPlane: ControlPlane): Promise<VersionReport> {
  const [answer, proxies] = await Promise.all([controlPlane.get('/version'), connectedProxies(controlPlane)]);
  return {
    ...clientReport(),
    meshVersion: [{ Component: 'pilot', Info: { version: versionIn(answer) } }],
    dataPlaneVersion: proxies.map((proxy) => ({ ID: proxy.id, IstioVersion: proxy.istioVersion })),
  };
}

/** The lines of `version`: data-plane versions with the number of proxies of each. */
export function versionText(report: VersionReport): string {
  let text = `client version: ${report.clientVersion.version}\n`;
  const versions = [...new Set((report.meshVersion ?? []).map((server) => server.Info.version))];
  if (versions.length > 0) text += `control plane version: ${versions.join(', ')}\n`;
  if (report.dataPlaneVersion !== undefined) {
    const counts = countVersions(report.dataPlaneVersion);
    text += `data plane version: ${counts.length === 0 ? 'none' : counts.join(', ')}\n`;
  }
  return text;
}

/** As versionText, with one line a proxy. */
export function longVersionText(report: VersionReport): string {
  let text = `client version: ${report.clientVersion.version}\n`;
  for (const server of report.meshVersion ?? [])
    text += `${server.Component} version: ${server.Info.version}\n`;
  for (const proxy of report.dataPlaneVersion ?? [])
    text += `data plane version: ${proxy.ID} ${proxy.IstioVersion}\n`;
  return text;
}

function countVersions(proxies: readonly { readonly IstioVersion: string }[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { IstioVersion } of proxies) counts.set(IstioVersion, (counts.get(IstioVersion) ?? 0) + 1);
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([version, count]) => `${version} (${count} proxies)`);
}

/** /version is either the plain version or istiod's JSON of it. */
function versionIn(answer: string): string {
  try {
    const value = JSON.parse(answer) as { version?: string; Info?: { version?: string } } | string;
    if (typeof value === 'string') return value;
    return value.version ?? value.Info?.version ?? answer.trim();
  } catch {
    // Istiod prints `1.19.3-<revision>-Clean`: people compare releases.
    return answer.trim().split('\n')[0] ?? '';
  }
}
