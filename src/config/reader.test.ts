import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { configKey, formatDiagnostic } from './config.ts';
import { TextReader, fileBytesMax, readText } from './reader.ts';
import { ConfigStore, sameConfig } from './store.ts';

/** A VirtualService with these lines as its `spec.http`. */
function virtualService(...http: readonly string[]): string {
  return [
    'apiVersion: networking.istio.io/v1',
    'kind: VirtualService',
    'metadata: {name: vs}',
    'spec:',
    '  hosts: [reviews]',
    '  http:',
    ...http.map((line) => `  ${line}`),
    '',
  ].join('\n');
}

function object(kind: string, spec: string, apiVersion = 'networking.istio.io/v1'): string {
  return `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: x, namespace: ns}\nspec:\n  ${spec}\n`;
}

const service = 'apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: [{port: 80}]\n';

interface BrokenDocument {
  readonly what: string;
  readonly text: string | Uint8Array;
  /** The whole first line that is said of it. */
  readonly says: string;
}

const brokenDocuments: readonly BrokenDocument[] = [
  // Syntax.
  {
    what: 'a list that is not closed',
    text: 'apiVersion: v1\nkind: Service\nmetadata:\n  name: b\nspec:\n  ports: [{port: 80\n',
    says: 'f.yaml:7:1: Service default/b: not YAML: flow map in block collection must be sufficiently indented and end with a }',
  },
  {
    what: 'a tab as indentation',
    text: 'apiVersion: v1\nkind: Service\nmetadata:\n\tname: b\n',
    says: 'f.yaml:4:1: not YAML: a tab cannot indent; use spaces',
  },
  {
    what: 'a mapping within a mapping',
    text: 'apiVersion: v1: v2\nkind: Service\n',
    says: 'f.yaml:1:13: not YAML: nested mappings are not allowed in compact mappings',
  },
  {
    what: 'a string that is not closed',
    text: 'apiVersion: v1\nkind: "Service\n',
    says: 'f.yaml:3:1: not YAML: missing closing "quote',
  },
  {
    what: 'a template that was not rendered',
    text: 'apiVersion: v1\nkind: Service\nmetadata: {name: a}\n{{- if .Values.x }}\nspec: {}\n{{- end }}\n',
    says: 'f.yaml:4:1: Service default/a: not YAML: {{ }} is a template; render it first',
  },
  {
    what: 'a key that stands twice',
    text: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: b\n  a: c\n',
    says: 'f.yaml:6:3: ConfigMap default/a: data.a: the key stands here twice',
  },
  {
    what: 'an alias within its own anchor',
    text: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: &loop\n  a: *loop\n',
    says: 'f.yaml:5:6: ConfigMap default/a: data.a: *loop stands inside its own anchor: the value has no end',
  },
  {
    what: 'an alias of nothing',
    text: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: *nothing\n',
    says: 'f.yaml:4:7: ConfigMap default/a: data: *nothing has no anchor &nothing before it',
  },
  {
    what: 'a billion laughs',
    text: `a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n${Array.from({ length: 9 }, (_, index) => `a${index + 1}: &a${index + 1} [${Array.from({ length: 10 }, () => `*a${index}`).join(', ')}]\n`).join('')}`,
    says: 'f.yaml:1:19: a5[0][5][2][5][7][3]: too many values: aliases stand for more than 200000',
  },
  {
    what: 'brackets 200 deep',
    text: `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: deep}\ndata: ${'['.repeat(200)}${']'.repeat(200)}\n`,
    says: 'f.yaml:4:108: nested too deeply: more than 100 levels',
  },
  {
    what: 'a million open brackets',
    text: '['.repeat(1_000_000),
    says: 'f.yaml:1:103: nested too deeply: more than 100 levels',
  },
  {
    what: 'a file of more than 10 MB',
    text: `# ${'x'.repeat(fileBytesMax)}\n`,
    says: 'f.yaml:1:1: the file is larger than 10 MB; split it',
  },
  {
    what: 'a byte that is not UTF-8',
    text: Buffer.from('apiVersion: v1\nkind: é\xff\n', 'latin1'),
    says: 'f.yaml:2:7: byte 21 (0xe9) is not UTF-8; save the file as UTF-8',
  },
  {
    what: 'UTF-16',
    text: Buffer.from('\uFEFFapiVersion: v1\n', 'utf16le'),
    says: 'f.yaml:1:1: the file is UTF-16; save it as UTF-8',
  },
  {
    what: 'a NUL',
    text: 'apiVersion: v1\nkind: \u0000Service\n',
    says: 'f.yaml:2:7: the control character U+0000 cannot stand in YAML',
  },
  {
    what: 'an infinite number',
    text: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: .inf}\n',
    says: 'f.yaml:4:11: ConfigMap default/a: data.a: .inf is not a number that JSON can hold',
  },
  {
    what: 'a tag',
    text: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: !!python/object x}\n',
    says: 'f.yaml:4:27: ConfigMap default/a: data.a: the tag tag:yaml.org,2002:python/object has no meaning here',
  },
  // What it is.
  {
    what: 'YAML of something else',
    text: 'version: 3\nservices: {}\n',
    says: 'f.yaml:1:1: not a Kubernetes object: apiVersion and kind are missing; it is left out',
  },
  {
    what: 'plain text',
    text: 'hello\n',
    says: 'f.yaml:1:1: not a Kubernetes object but "hello"; it is left out',
  },
  {
    what: 'an unknown kind of Istio',
    text: object('VirtualServic', 'hosts: [a]'),
    says: 'f.yaml:1:1: VirtualServic ns/x: networking.istio.io has no kind VirtualServic; did you mean VirtualService?',
  },
  {
    what: 'a kind that is not built yet',
    text: object('AuthorizationPolicy', 'action: DENY', 'security.istio.io/v1'),
    says: 'f.yaml:1:1: AuthorizationPolicy ns/x: kind AuthorizationPolicy (security.istio.io) is not supported yet',
  },
  {
    what: 'an unknown version',
    text: object('VirtualService', 'hosts: [a]', 'networking.istio.io/v2'),
    says: 'f.yaml:1:1: VirtualService ns/x: VirtualService has no version networking.istio.io/v2; accepted: networking.istio.io/v1, networking.istio.io/v1beta1, networking.istio.io/v1alpha3',
  },
  {
    what: 'the wrong group',
    text: object('Deployment', 'replicas: 1', 'v1'),
    says: 'f.yaml:1:1: Deployment ns/x: Deployment is no kind of v1; accepted: apps/v1',
  },
  {
    what: 'a Kubernetes kind that does not concern us',
    text: object('CronJob', 'schedule: "* * * * *"', 'batch/v1'),
    says: 'f.yaml:1:1: CronJob ns/x: kind CronJob (batch/v1) is not read',
  },
  // Metadata.
  {
    what: 'no name',
    text: 'apiVersion: v1\nkind: ConfigMap\n',
    says: 'f.yaml:1:1: the object has no metadata.name',
  },
  {
    what: 'a name that breaks out of its line',
    text: 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: "a\\nkind: Secret"\n',
    says: 'f.yaml:4:3: ConfigMap default/a\\u000akind: Secret: metadata.name: "a\\nkind: Secret" is no object name: lower-case letters, digits, - and ., starting and ending with a letter or digit, 253 at most',
  },
  {
    what: 'a label that YAML takes for a boolean',
    text: 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels: {on-call: yes}\n',
    says: 'f.yaml:5:12: ConfigMap default/a: metadata.labels.on-call: must be a string (quote it), not true',
  },
  {
    what: 'the same name twice',
    text: `${service}---\n${service}`,
    says: 'f.yaml:7:1: Service default/a: this name is taken by the object at f.yaml:1:1, which stays in force; rename one of them',
  },
  // Structure.
  {
    what: 'an unknown field',
    text: virtualService('- route:', '  - destinaton: {host: reviews}'),
    says: 'f.yaml:8:7: VirtualService default/vs: spec.http[0].route[0]: the field destination is missing',
  },
  {
    what: 'snake_case',
    text: object('DestinationRule', 'host: a\n  traffic_policy: {}'),
    says: 'f.yaml:6:3: DestinationRule ns/x: spec.traffic_policy: unknown field "traffic_policy"; did you mean trafficPolicy?',
  },
  {
    what: 'a number as text',
    text: virtualService('- route:', '  - destination: {host: reviews, port: {number: "80"}}'),
    says: 'f.yaml:8:43: VirtualService default/vs: spec.http[0].route[0].destination.port.number: must be an integer from 0 to 4294967295, not "80"',
  },
  {
    what: 'a map for a list',
    text: virtualService('- route:', '    destination: {host: reviews}'),
    says: 'f.yaml:7:5: VirtualService default/vs: spec.http[0].route: must be a list, not a map',
  },
  {
    what: 'a value that is not one of those',
    text: object('DestinationRule', 'host: a\n  trafficPolicy: {loadBalancer: {simple: FASTEST}}'),
    says: 'f.yaml:6:34: DestinationRule ns/x: spec.trafficPolicy.loadBalancer.simple: must be one of UNSPECIFIED, LEAST_CONN, RANDOM, PASSTHROUGH, ROUND_ROBIN, LEAST_REQUEST, not "FASTEST"',
  },
  {
    what: 'a duration without unit',
    text: virtualService('- route: [{destination: {host: reviews}}]', '  timeout: "5"'),
    says: 'f.yaml:8:5: VirtualService default/vs: spec.http[0].timeout: must be a duration such as "1.5s", "2m" or "1h10m", not "5"',
  },
  {
    what: 'a header match without a value',
    text: virtualService('- match: [{headers: {user: }}]', '  route: [{destination: {host: reviews}}]'),
    says: 'f.yaml:7:24: VirtualService default/vs: spec.http[0].match[0].headers.user: must be a map, not empty',
  },
  // Meaning.
  {
    what: 'a regular expression that RE2 does not know',
    text: virtualService('- match: [{uri: {regex: "(?=a)"}}]', '  route: [{destination: {host: reviews}}]'),
    says: "f.yaml:7:20: VirtualService default/vs: spec.http[0].match[0].uri.regex: the regex does not compile: invalid or unsupported Perl syntax: `(?=`; RE2's syntax is accepted (https://github.com/google/re2/wiki/Syntax)",
  },
  {
    what: 'a regular expression of 2000 characters',
    text: virtualService(
      `- match: [{uri: {regex: "${'a'.repeat(2000)}"}}]`,
      '  route: [{destination: {host: reviews}}]',
    ),
    says: 'f.yaml:7:20: VirtualService default/vs: spec.http[0].match[0].uri.regex: the regex is too large: 2000 characters, at most 1024',
  },
  {
    what: 'weights of zero',
    text: virtualService('- route:', '  - destination: {host: a}', '  - destination: {host: b}'),
    says: 'f.yaml:7:5: VirtualService default/vs: spec.http[0].route: total destination weight = 0',
  },
  {
    what: 'a header value that would split the response',
    text: virtualService(
      '- headers: {response: {add: {x: "a\\r\\nset-cookie: b"}}}',
      '  route: [{destination: {host: reviews}}]',
    ),
    says: 'f.yaml:7:32: VirtualService default/vs: spec.http[0].headers.response.add.x: a header value cannot hold control characters',
  },
  {
    what: 'a wildcard in the middle of a host',
    text: object('ServiceEntry', 'hosts: [a.*.com]\n  ports: [{number: 80, name: http}]'),
    says: 'f.yaml:5:11: ServiceEntry ns/x: spec.hosts[0]: domain name "a.*.com" invalid (label "*" invalid)',
  },
  {
    what: 'two subsets of one name',
    text: object('DestinationRule', 'host: a\n  subsets: [{name: v1}, {name: v1}]'),
    says: 'f.yaml:6:25: DestinationRule ns/x: spec.subsets[1]: duplicate subset names: v1',
  },
  {
    what: 'a port beyond 65535',
    text: object('Gateway', 'servers: [{hosts: ["*"], port: {number: 70000, name: http, protocol: HTTP}}]'),
    says: 'f.yaml:5:35: Gateway ns/x: spec.servers[0].port.number: port number 70000 must be in the range 1..65535',
  },
  {
    what: 'CIDR addresses with DNS',
    text: object(
      'ServiceEntry',
      'hosts: [a.com]\n  resolution: DNS\n  addresses: [10.0.0.0/8]\n  ports: [{number: 80, name: http, protocol: HTTP}]',
    ),
    says: 'f.yaml:7:3: ServiceEntry ns/x: spec.addresses: CIDR addresses are allowed only for NONE/STATIC resolution types',
  },
  {
    what: 'a Sidecar that says nothing',
    text: object('Sidecar', 'workloadSelector: {labels: {app: a}}'),
    says: 'f.yaml:4:1: Sidecar ns/x: spec: empty: egress, ingress, outboundTrafficPolicy or inboundConnectionPool is needed',
  },
  {
    what: 'a selector that does not choose its own pods',
    text: 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  selector: {matchLabels: {app: a}}\n  template:\n    metadata: {labels: {app: b}}\n    spec: {containers: [{name: c}]}\n',
    says: 'f.yaml:5:28: Deployment default/a: spec.selector.matchLabels.app: does not match the labels of the template, where it is "b"',
  },
  {
    what: 'TLS at a gateway without a certificate',
    text: object(
      'Gateway',
      'servers: [{hosts: ["*"], port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE}}]',
    ),
    says: 'f.yaml:5:79: Gateway ns/x: spec.servers[0].tls: SIMPLE TLS requires a server certificate',
  },
  {
    what: 'a redirect that Envoy cannot make',
    text: virtualService('- redirect: {uri: /, redirectCode: 304}'),
    says: 'f.yaml:7:24: VirtualService default/vs: spec.http[0].redirect.redirectCode: Envoy redirects with 301, 302, 303, 307 or 308, not with 304',
  },
];

for (const { what, text, says } of brokenDocuments)
  test(`readText: ${what} (partly C14.03, R10)`, () => {
    const { diagnostics } = readText('f.yaml', text);
    const [first] = diagnostics;
    expect(first === undefined ? undefined : formatDiagnostic(first)).toBe(says);
  });

test('readText: a good neighbour of each broken document is read (partly C14.03)', () => {
  for (const { what, text } of brokenDocuments) {
    if (typeof text !== 'string' || text.length > 1_000_000 || text.includes('\u0000')) continue;
    const neighbour = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: neighbour}\n';
    const { configs } = readText(
      'f.yaml',
      `${neighbour}---\n${text}\n---\n${neighbour.replace('neighbour', 'other')}`,
    );
    const names = configs.map(({ name }) => name).filter((name) => name === 'neighbour' || name === 'other');
    expect(names, what).toEqual(['neighbour', 'other']);
  }
});

test('readText: all that is wrong with an object is said, each thing at its place', () => {
  const { diagnostics, refusedKeys } = readText(
    'f.yaml',
    virtualService('- route:', '  - destinaton: {host: reviews}', '    weight: "3"', '  time_out: 3s'),
  );
  expect(diagnostics.map(formatDiagnostic)).toEqual([
    'f.yaml:8:7: VirtualService default/vs: spec.http[0].route[0]: the field destination is missing',
    'f.yaml:8:7: VirtualService default/vs: spec.http[0].route[0].destinaton: unknown field "destinaton"; did you mean destination?',
    'f.yaml:9:7: VirtualService default/vs: spec.http[0].route[0].weight: must be an integer from 0 to 4294967295, not "3"',
    'f.yaml:10:5: VirtualService default/vs: spec.http[0].time_out: unknown field "time_out"; did you mean timeout?',
  ]);
  expect(refusedKeys).toEqual(['VirtualService/default/vs']);
});

test('readText: JSON, lists, BOM, CRLF, directives, comments, yes and octals', () => {
  const list = {
    apiVersion: 'v1',
    kind: 'List',
    items: [
      JSON.parse(JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'in-list' } })),
      7,
    ],
  };
  const { configs, diagnostics } = readText(
    'f.yaml',
    `\uFEFF%YAML 1.2\r\n# first\r\n---\r\n${service.replaceAll('\n', '\r\n')}...\r\n# between\r\n---\r\n---\r\n${JSON.stringify(list)}\r\n--- # last\r\napiVersion: v1\r\nkind: Pod\r\nmetadata: {name: p}\r\nspec: {hostNetwork: yes, terminationGracePeriodSeconds: 010, containers: [{name: c, command: ["no"]}]}\r\n`,
  );
  expect(configs.map(configKey)).toEqual(['Service/default/a', 'ConfigMap/default/in-list', 'Pod/default/p']);
  expect(configs[2]?.spec).toMatchObject({
    hostNetwork: true,
    terminationGracePeriodSeconds: 8,
    containers: [{ command: ['no'] }],
  });
  expect(configs[0]?.locate(['spec', 'ports', 0, 'port'])).toEqual({ file: 'f.yaml', line: 8, column: 12 });
  expect(configs[1]?.locate([])).toEqual({ file: 'f.yaml', line: 13, column: 43 });
  expect(diagnostics.map(formatDiagnostic)).toEqual([
    'f.yaml:13:112: items[1]: not a Kubernetes object but 7; it is left out',
  ]);
});

test('readText: merge keys and aliases mean what they say, and are found', () => {
  const { configs } = readText(
    'f.yaml',
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: &labels {app: x, tier: one}, annotations: {<<: *labels, tier: two}}\n',
  );
  expect(configs[0]?.annotations).toEqual({ app: 'x', tier: 'two' });
  expect(configs[0]?.locate(['metadata', 'annotations', 'app']).column).toBe(38);
});

test('readText: __proto__ is a key like any other', () => {
  const { configs } = readText(
    'f.yaml',
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {__proto__: x, constructor: y}\n',
  );
  const spec = configs[0]?.spec as { data?: Record<string, string> } | undefined;
  expect(Object.entries(spec?.data ?? {})).toEqual([
    ['__proto__', 'x'],
    ['constructor', 'y'],
  ]);
  expect(({} as Record<string, unknown>)['x']).toBeUndefined();
});

test('TextReader: what has not changed is not read again, and keeps its place right', () => {
  const reader = new TextReader('f.yaml');
  const first = reader.read(`${service}---\n${service.replace('name: a', 'name: b')}`);
  const second = reader.read(
    `# new\n${service.replace('80', '81')}---\n${service.replace('name: a', 'name: b')}`,
  );
  expect(second.configs[1]).toBe(first.configs[1]);
  expect(first.configs[1]?.locate([]).line).toBe(8);
  expect(second.configs[0]).not.toBe(first.configs[0]);
});

test('TextReader: random bytes never throw', () => {
  const scraps = [
    'apiVersion: v1\n',
    'kind: Service\n',
    'metadata:\n',
    '  name: a\n',
    '---\n',
    '- ',
    '? ',
    ': ',
    '[',
    ']',
    '{',
    '}',
    '&a ',
    '*a',
    '!x ',
    '|\n',
    '>\n',
    '"',
    "'",
    '#',
    '%YAML 1.1\n',
    '<<: ',
    '\t',
    ' ',
    '\n',
    '\r\n',
    '...\n',
    '\uFEFF',
    '\u0000',
    'spec:\n',
    '  http:\n',
    '  - match:\n',
    'x',
  ];
  const text = fc
    .array(fc.oneof(fc.constantFrom(...scraps), fc.string()), { maxLength: 60 })
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(fc.oneof(text, fc.uint8Array({ maxLength: 200 })), (content) => {
      const { diagnostics } = readText('f.yaml', content);
      for (const diagnostic of diagnostics) formatDiagnostic(diagnostic);
    }),
    { numRuns: 500 },
  );
});

test('TextReader: any JSON in a spec never throws', () => {
  const kinds = ['VirtualService', 'DestinationRule', 'Gateway', 'ServiceEntry', 'WorkloadEntry', 'Sidecar'];
  fc.assert(
    fc.property(fc.constantFrom(...kinds), fc.jsonValue(), (kind, spec) => {
      readText(
        'f.yaml',
        JSON.stringify({ apiVersion: 'networking.istio.io/v1', kind, metadata: { name: 'a' }, spec }),
      );
    }),
    { numRuns: 300 },
  );
});

test('ConfigStore: the same objects in any files, read in any order, give the same store', () => {
  const documents = Array.from(
    { length: 8 },
    (_, index) =>
      `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c${index % 6}}\ndata: {value: "${index}"}\n`,
  );
  // Two objects stand twice: the one in the first file, on the first line, wins.
  fc.assert(
    fc.property(fc.array(fc.nat(3), { minLength: 8, maxLength: 8 }), fc.integer(), (files, seed) => {
      const texts = ['a.yaml', 'b.yaml', 'c.yaml', 'd.yaml'].map((file, number) => ({
        file,
        text: documents.filter((_, index) => files[index] === number).join('---\n'),
      }));
      const storeOf = (order: typeof texts): ConfigStore => {
        const store = new ConfigStore();
        for (const { file, text } of order) {
          const { configs, diagnostics } = readText(file, text);
          store.apply([{ source: file, upserts: configs, deletes: [], diagnostics }]);
        }
        return store;
      };
      const rotated = [...texts.slice(seed & 3), ...texts.slice(0, seed & 3)].reverse();
      const one = storeOf(texts);
      const other = storeOf(rotated);
      expect(other.all().map(configKey)).toEqual(one.all().map(configKey));
      expect(other.all().every((config, index) => sameConfig(config, one.all()[index] ?? config))).toBe(true);
      expect(other.diagnostics().map(formatDiagnostic)).toEqual(one.diagnostics().map(formatDiagnostic));
    }),
    { numRuns: 100 },
  );
});

test('readText: a list as long as `kubectl get -A -o yaml` prints it, and the place of each of its objects', () => {
  const item = (index: number): string => `- apiVersion: v1
  kind: ConfigMap
  metadata:
    name: c-${index}
  data:
${Array.from({ length: 300 }, (_, line) => `    key-${line}: value\n`).join('')}`;
  const count = 400;
  const text = `apiVersion: v1\nkind: List\nitems:\n${Array.from({ length: count }, (_, index) => item(index)).join('')}`;
  const { configs, diagnostics } = readText('f.yaml', text);
  expect(diagnostics).toEqual([]);
  const start = performance.now();
  const lines = configs.map(({ locate }) => locate(['data', 'key-7']).line);
  expect(lines).toEqual(Array.from({ length: count }, (_, index) => 4 + 305 * index + 12));
  // Once parsed, a place is found without going through the text again.
  expect(performance.now() - start).toBeLessThan(5000);
});

test('what is wrong with a Secret does not tell what stands in it', () => {
  const { diagnostics } = readText(
    's.yaml',
    `apiVersion: v1
kind: Secret
metadata: { name: a }
data: { x: 12345678, y: '%%hunter2%%' }
stringData: { z: [hunter2], w: hunter2, v: true }
`,
  );
  expect(diagnostics.map(({ fieldPath, message }) => `${fieldPath.join('.')}: ${message}`)).toEqual([
    'data.x: must be a string (quote it)',
    'stringData.z: must be a string',
    'stringData.v: must be a string (quote it)',
  ]);
});
