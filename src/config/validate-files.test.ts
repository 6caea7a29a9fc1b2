import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parse } from 'yaml';
import { istioTestdata, reportFamily } from '../../test/support/istio-testdata.ts';
import { formatDiagnostic } from './config.ts';
import { readText } from './reader.ts';
import { findDanglingReferences } from './references.ts';
import type { ValidateFilesOptions } from './validate-files.ts';
import { validateFiles, validationValue } from './validate-files.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fairlead-validate-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

function write(path: string, text: string): string {
  const file = join(directory, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

/** Output and errors, without the directory's name. */
function validate(
  paths: readonly string[],
  options: Partial<ValidateFilesOptions> = {},
): { output: string; errors: readonly string[] } {
  const { output, errors } = validateFiles({ paths, readStdin: () => '', ...options });
  const short = (text: string): string => text.replaceAll(`${directory}/`, '');
  return { output: short(output), errors: errors.map(short) };
}

const service =
  'apiVersion: v1\nkind: Service\nmetadata: {name: reviews}\nspec:\n  ports: [{name: http, port: 80}]\n';
const routes = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  gateways: [mesh, front]
  http:
  - route:
    - destination: {host: reviews, subset: v1}
      weight: 1
    - destination: {host: reviews.default, port: {number: 80}}
      weight: 1
    - destination: {host: reviews, port: {number: 8080}}
      weight: 1
    mirrors:
    - destination: {host: ratings}
`;

test("validateFiles: istioctl's words", () => {
  const good = write('good.yaml', service);
  const bad = write('bad.yaml', service.replace('port: 80', 'port: eighty'));
  const doubtful = write('doubtful.yaml', 'version: 3\n');
  expect(validate([good])).toEqual({ output: '"good.yaml" is valid\n', errors: [] });
  expect(validate(['-'], { readStdin: () => service })).toEqual({
    output: 'validation succeed\n',
    errors: [],
  });
  expect(validate([good, doubtful])).toEqual({
    output:
      '"good.yaml" is valid\n"doubtful.yaml" has warnings:\n\t* doubtful.yaml:1:1: not a Kubernetes object: apiVersion and kind are missing; it is left out\n',
    errors: [],
  });
  expect(validate([good, bad])).toEqual({
    output: '',
    errors: [
      'bad.yaml:5:24: Service default/reviews: spec.ports[0].port: must be an integer from 1 to 65535, not "eighty"',
    ],
  });
  expect(validate([join(directory, 'nothing.yaml')]).errors[0]).toMatch(
    /^cannot stat file "nothing\.yaml": ENOENT/,
  );
});

test('validateFiles: directories, namespaces, and the same name in two files', () => {
  write('mesh/a.yaml', service);
  write(
    'mesh/deep/b.json',
    '{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "reviews"}, "spec": {"ports": [{"name": "http", "port": 80}]}}',
  );
  write('mesh/notes.txt', 'x');
  const { output, errors } = validate([join(directory, 'mesh')], { defaultNamespace: 'shop' });
  expect(errors).toEqual([]);
  expect(output).toBe(
    '"mesh/a.yaml" is valid\n"mesh/deep/b.json" has warnings:\n\t* mesh/deep/b.json:1:1: Service shop/reviews: this name is taken by the object at mesh/a.yaml:1:1, which stays in force; rename one of them\n',
  );
});

test('validateFiles: ports of Services must say their protocol, but not in istio-system', () => {
  const unnamed = write('s.yaml', service.replace('name: http, ', ''));
  const odd = write('t.yaml', service.replace('name: http', 'name: web'));
  const said = write('u.yaml', service.replace('name: http', 'name: web, appProtocol: http'));
  expect(validate([unnamed]).errors).toEqual([
    's.yaml:5:11: Service default/reviews: spec.ports[0]: the port has no name; name it <protocol>[-<suffix>] (http, http2, grpc, tcp, tls, ...) or set appProtocol',
  ]);
  expect(validate([odd]).errors[0]).toContain('"web" says no protocol');
  expect(validate([said]).errors).toEqual([]);
  expect(validate([unnamed], { istioNamespace: 'default' }).errors).toEqual([]);
});

test('findDanglingReferences: gateways, hosts, ports and subsets that are not there (T01)', () => {
  const { configs } = readText('f.yaml', `${service}---\n${routes}`);
  expect(
    findDanglingReferences(configs).map((one) =>
      formatDiagnostic(one).replace('VirtualService default/reviews: ', ''),
    ),
  ).toEqual([
    'f.yaml:12:20: spec.gateways[1]: there is no Gateway default/front',
    'f.yaml:15:36: spec.http[0].route[0].destination.subset: no DestinationRule of reviews.default.svc.cluster.local has subsets',
    'f.yaml:17:21: spec.http[0].route[1].destination.host: there is no Service or ServiceEntry with the host reviews.default; did you mean reviews.default.svc.cluster.local?',
    'f.yaml:19:43: spec.http[0].route[2].destination.port.number: reviews.default.svc.cluster.local has no port 8080; it has 80',
    'f.yaml:22:21: spec.http[0].mirrors[0].destination.host: there is no Service or ServiceEntry with the host ratings.default.svc.cluster.local',
  ]);
});

test('findDanglingReferences: wildcards of ServiceEntries and DestinationRules cover', () => {
  const { configs, diagnostics } = readText(
    'f.yaml',
    `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e}
spec: {hosts: ["*.example.com"], ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d}
spec: {host: "*.example.com", subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v}
spec:
  hosts: [a.example.com]
  http:
  - route: [{destination: {host: a.example.com, subset: v1}}]
`,
  );
  expect(diagnostics).toEqual([]);
  expect(findDanglingReferences(configs)).toEqual([]);
});

test('validationValue: every finding with code, field, object and position', () => {
  const report = validateFiles({
    paths: ['-'],
    readStdin: () =>
      'apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n  hosts: [a.com]\n  http:\n  - route: [{destination: {hots: a}}]\n',
  });
  expect(validationValue(report)).toEqual({
    valid: false,
    diagnostics: [
      {
        severity: 'error',
        code: 'missing-field',
        message: 'the field host is missing',
        field: 'spec.http[0].route[0].destination',
        object: { kind: 'VirtualService', namespace: 'default', name: 'a' },
        file: 'stdin',
        line: 7,
        column: 14,
      },
      {
        severity: 'error',
        code: 'unknown-field',
        message: 'unknown field "hots"; accepted: host, port, subset',
        field: 'spec.http[0].route[0].destination.hots',
        object: { kind: 'VirtualService', namespace: 'default', name: 'a' },
        file: 'stdin',
        line: 7,
        column: 28,
      },
    ],
  });
});

test('validateFiles: MeshConfig files', () => {
  const file = write('mesh.yaml', 'trustDomain: a..b\nproxyListenPort: 99999\n');
  const { errors } = validateFiles({ paths: [], meshConfigFiles: [file], readStdin: () => '' });
  expect(errors.map((error) => error.slice(file.length))).toEqual([
    ':1:1: trustDomain: "a..b" is not a trust domain: labels of letters, digits and -, joined by dots',
    ':2:1: proxyListenPort: port number 99999 must be in the range 1..65535',
  ]);
});

interface CliCase {
  readonly name: string;
  readonly group: string;
  readonly heldOut: boolean;
  readonly args: readonly string[];
  readonly yaml: string;
  readonly expected: { readonly exitNonZero: boolean; readonly valid: boolean; readonly warning?: boolean };
}

const folder = istioTestdata('validation');

/** Cases on which we differ, with the reason. */
const known: Readonly<Record<string, string>> = {
  'istioctl validate: version label missing deployment':
    'a Deployment without a spec: istioctl does not look at it, Kubernetes refuses it',
  'istioctl validate resource: metric labels k8s recommended':
    'a Deployment of apiVersion v1 without a template: istioctl does not look at it, Kubernetes refuses it',
  'istioctl validate resource: skip validating service':
    'without an apiVersion it is no object for Kubernetes: we say that it is left out',
};

test.skipIf(folder === undefined)(
  "validateFiles: judges the files and documents of istioctl's own tests as it does",
  (context) => {
    const text = readFileSync(join(folder ?? '', 'cases.yaml'), 'utf8');
    const { cases } = parse(text, { maxAliasCount: -1 }) as { cases: readonly CliCase[] };
    const open = cases.filter(
      ({ group, heldOut }) => !heldOut && (group === 'cli' || group === 'cli-resource'),
    );
    const wrong = open.filter((one) => !isJudgedAlike(one)).map(({ name }) => name);
    reportFamily(context, { family: 'validation', passed: open.length - wrong.length, total: open.length });
    expect(wrong.sort()).toEqual(Object.keys(known).sort());
  },
);

function isJudgedAlike({ group, args, yaml, expected }: CliCase): boolean {
  if (group === 'cli') {
    const paths = args
      .filter((_, index) => args[index - 1] === '--filename')
      .map((path) => join(folder ?? '', path));
    return (paths.length === 0 || validate(paths).errors.length > 0) === expected.exitNonZero;
  }
  const { diagnostics } = validateFiles({ paths: ['-'], readStdin: () => yaml });
  // What is not built yet is no verdict on the document.
  const own = diagnostics.filter(({ code }) => code !== 'not-supported' && code !== 'no-effect');
  const isValid = own.every(({ severity }) => severity !== 'error');
  const hasWarning = own.some(({ severity }) => severity === 'warning');
  return isValid === expected.valid && (!isValid || hasWarning === (expected.warning ?? hasWarning));
}
