// Clusters and listeners from files that are replaced while the proxy runs.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { InProcessProxy } from '../../../test/support/in-process-proxy.ts';
import { startInProcess } from '../../../test/support/in-process-proxy.ts';
import { waitFor } from '../../../test/support/wait.ts';

let directory = '';
let proxy: InProcessProxy | undefined;
let backend: Server;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fairlead-files-'));
  backend = createServer((socket) => socket.end('hello'));
  await new Promise<void>((resolve) => backend.listen(22501, '127.0.0.1', resolve));
});
afterEach(() => {
  proxy?.close();
  backend.close();
  rmSync(directory, { recursive: true, force: true });
});

/** As tools do it: beside, then renamed. */
function place(file: string, text: string): void {
  writeFileSync(join(directory, `.${file}`), text);
  renameSync(join(directory, `.${file}`), join(directory, file));
}

const clusters = (version: string, name: string): string => `
version_info: ${version}
resources:
  - '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster
    name: ${name}
    type: STATIC
    connect_timeout: 0.5s
    per_connection_buffer_limit_bytes: 32768
    load_assignment: { cluster_name: ${name}, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 22501 } } } }] }] }
`;
const listeners = (version: string, port: number): string => `
version_info: ${version}
resources:
  - '@type': type.googleapis.com/envoy.config.listener.v3.Listener
    name: web
    address: { socket_address: { address: 127.0.0.1, port_value: ${port} } }
    filter_chains:
      - filters:
          - name: tcp
            typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: web }
`;

test('FileSource: what is replaced is applied, what is broken is counted and changes nothing (partly D1.02)', async () => {
  place('cds.yaml', clusters('v1', 'web'));
  place('lds.yaml', listeners('v1', 22502));
  proxy = await startInProcess(`
dynamic_resources:
  cds_config: { path_config_source: { path: ${join(directory, 'cds.yaml')} } }
  lds_config: { path_config_source: { path: ${join(directory, 'lds.yaml')} } }
`);
  const running = proxy;
  const { server } = running;
  const stat = (name: string): number | undefined => running.stat(name);
  expect(server.listeners.active()[0]).toMatchObject({ name: 'web', versionInfo: 'v1' });
  expect(server.clusters.get('web')?.hosts).toHaveLength(1);

  place('lds.yaml', listeners('v2', 22503));
  await waitFor('v2', () => server.listeners.active()[0]?.versionInfo === 'v2' || undefined);
  expect(stat('listener_manager.lds.update_success')).toBe(2);

  place('lds.yaml', listeners('v3', 22503).replace('stat_prefix', 'stat_prefx'));
  await waitFor('the rejection', () => stat('listener_manager.lds.update_rejected') === 1 || undefined);
  place('cds.yaml', listeners('v3', 22503));
  await waitFor('the other rejection', () => stat('cluster_manager.cds.update_rejected') === 1 || undefined);
  expect(server.listeners.active()[0]?.versionInfo).toBe('v2');
  expect(server.clusters.get('web')).toBeDefined();

  place('cds.yaml', clusters('v4', 'other'));
  await waitFor('v4', () => server.clusters.get('other') !== undefined || undefined);
  expect(server.clusters.get('web')).toBeUndefined();
});
