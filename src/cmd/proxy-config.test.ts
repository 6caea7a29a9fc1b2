// Command lines of proxy-config: flags in every place where istioctl takes them.
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { UserError } from '../base/user-error.ts';
import { command } from './proxy-config.ts';

const asked: string[] = [];
const admin = 'type.googleapis.com/envoy.admin.v3.';
const dump = {
  configs: [
    {
      '@type': `${admin}ListenersConfigDump`,
      static_listeners: [
        { listener: { name: 'one', address: { socket_address: { address: '127.0.0.1', port_value: 80 } } } },
      ],
    },
    {
      '@type': `${admin}ClustersConfigDump`,
      dynamic_active_clusters: [{ cluster: { name: 'outbound|80|v1|web', type: 'EDS' } }],
    },
  ],
};
const sources = [
  {
    resource: 'outbound|80|v1|web',
    at: 'metadata',
    kind: 'DestinationRule',
    namespace: 'sidecar',
    name: 'web',
    field: 'spec.subsets[0]',
    file: `${process.cwd()}/rules.yaml`,
    line: 7,
    column: 3,
  },
];

let server: Server;
let flags: readonly string[];

beforeAll(async () => {
  server = createServer((request, response) => {
    const path = request.url ?? '';
    asked.push(`${request.method} ${path}`);
    if (path.startsWith('/debug/syncz'))
      response.end(JSON.stringify([{ proxy: 'toolbox-97948fc8-ptlct.sidecar', ip: '127.0.0.1' }]));
    else if (path.startsWith('/debug/sourcez')) response.end(JSON.stringify(sources));
    else if (path.startsWith('/logging')) response.end('active loggers:\n  http: warning\n  main: warning\n');
    else response.end(JSON.stringify(dump));
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const port = String((server.address() as AddressInfo).port);
  flags = ['--debug-address', `http://127.0.0.1:${port}`, '--proxy-admin-port', port];
});
afterAll(() => server.close());

test('proxy-config: namespace before and after the command, values attached or not (E.01, E.02)', async () => {
  const lines = [
    'listener toolbox-97948fc8-ptlct.sidecar',
    '-n sidecar listener toolbox-97948fc8-ptlct',
    'listener -nsidecar toolbox-97948fc8-ptlct',
    'listeners deploy/toolbox --namespace=sidecar',
    'l deploy/toolbox.sidecar --verbose',
    'l --verbose deploy/toolbox.sidecar',
  ];
  // oxlint-disable-next-line no-await-in-loop -- stdout is one
  for (const line of lines) expect(await run(line), line).toMatch(/^ADDRESSES PORT MATCH DESTINATION\n/);
  expect(await run('listener deploy/toolbox -nsidecar --verbose=false')).toBe(
    'ADDRESSES PORT TYPE\n127.0.0.1 80   UNKNOWN\n',
  );
  expect(JSON.parse(await run('listener -nsidecar deploy/toolbox -ojson --port=80'))).toHaveLength(1);
  expect(await run('cluster deploy/toolbox -o yaml')).toMatch(
    /^- name: outbound\|80\|v1\|web\n {2}type: EDS\n$/,
  );
});

test('proxy-config: --source names the line of YAML', async () => {
  expect(await run('cluster deploy/toolbox --source')).toContain(
    'rules.yaml:7:3 DestinationRule sidecar/web spec.subsets[0]\n',
  );
  expect(asked).toContain('GET /debug/sourcez?proxyID=toolbox-97948fc8-ptlct.sidecar&type=CDS');
});

test('proxy-config log: all levels first, then single ones, and back', async () => {
  asked.length = 0;
  expect(await run('log deploy/toolbox --level http:debug,info')).toMatch(
    /^toolbox-97948fc8-ptlct\.sidecar:\nactive loggers:\n/,
  );
  await run('log deploy/toolbox -r');
  expect(asked.filter((path) => path.startsWith('POST /logging?'))).toEqual([
    'POST /logging?level=info',
    'POST /logging?http=debug',
    'POST /logging?level=warning',
  ]);
});

test('proxy-config: what is wrong with a command line is said', async () => {
  await expect(run('listener')).rejects.toThrow(/listener requires pod name or --file parameter/);
  await expect(run('listener a -f b')).rejects.toThrow(/only one of them/);
  await expect(run('listener a -o xml')).rejects.toThrow(
    /output format "xml" not supported; accepted: short, json/,
  );
  await expect(run('log deploy/toolbox -r --level debug')).rejects.toThrow(/cannot be combined/);
  await expect(run('secret deploy/toolbox -o json')).rejects.toThrow(/proxy-config secret is not built yet/);
  const unknown = run('lissener a');
  await expect(unknown).rejects.toThrow(/unknown command "lissener" .*there are listener, route/);
  await expect(unknown).rejects.toMatchObject({ exitCode: 64 });
  expect(await run('')).toContain('A group of commands used to retrieve information');
});

/** What a command line prints to stdout. */
async function run(line: string): Promise<string> {
  let printed = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
  try {
    await command().parseAsync([...flags, ...line.split(' ').filter((word) => word !== '')], {
      from: 'user',
    });
  } catch (error) {
    if (!(error instanceof UserError))
      throw new Error(`not a message for people: ${String(error)}`, { cause: error });
    throw error;
  } finally {
    write.mockRestore();
  }
  return printed;
}

test.each([
  ['cluster web --direction sideways', 'Allowed choices are inbound, outbound'],
  ['listener web --type UDP', 'Allowed choices are HTTP, TCP, HTTP+TCP'],
])('%s is refused, and no empty table', async (line, message) => {
  const group = command();
  for (const one of [group, ...group.commands]) one.exitOverride().configureOutput({ writeErr: () => {} });
  await expect(group.parseAsync(line.split(' '), { from: 'user' })).rejects.toThrow(message);
});
