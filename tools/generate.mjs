// Generates src/api/gen (never edited, never committed):
//   envoy/...           TypeScript for the Envoy v3 protos that ship inside @grpc/grpc-js-xds
//   istio/...           the same for our own protos (src/api/protos)
//   descriptors.js      all of them in one protobuf registry, so that Any can be resolved
//   extensions.js       descriptors alone of what people write into EnvoyFilters, read when first needed
//   istio-schemas.json  the structural schema of each Istio kind, read from @kubernetes-models/istio
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { istioTypes, readIstioSchemas } from './istio-schemas.mjs';
import { extensionRoots } from './extension-protos.mjs';
import { packDescriptors, packExtensions } from './pack-descriptors.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const staging = join(root, '.cache/protos');
const out = join(root, 'src/api/gen');

/** The protos that Fairlead speaks; what they import comes along by itself. */
const protoRoots = [
  'envoy/admin/v3/config_dump.proto',
  'envoy/admin/v3/clusters.proto',
  'envoy/admin/v3/listeners.proto',
  'envoy/admin/v3/server_info.proto',
  'envoy/config/bootstrap/v3/bootstrap.proto',
  'envoy/config/cluster/v3/cluster.proto',
  'envoy/config/endpoint/v3/endpoint.proto',
  'envoy/config/listener/v3/listener.proto',
  'envoy/config/route/v3/route.proto',
  'envoy/service/discovery/v3/ads.proto',
  'envoy/service/health/v3/hds.proto',
  'envoy/service/load_stats/v3/lrs.proto',
  'envoy/service/status/v3/csds.proto',
  'envoy/extensions/access_loggers/file/v3/file.proto',
  'envoy/extensions/access_loggers/stream/v3/stream.proto',
  'envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster.proto',
  'envoy/extensions/filters/http/cors/v3/cors.proto',
  'envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy.proto',
  'envoy/extensions/filters/http/fault/v3/fault.proto',
  'envoy/extensions/filters/http/grpc_stats/v3/config.proto',
  'envoy/extensions/filters/http/grpc_web/v3/grpc_web.proto',
  'envoy/extensions/filters/http/router/v3/router.proto',
  'envoy/extensions/filters/listener/http_inspector/v3/http_inspector.proto',
  'envoy/extensions/filters/listener/original_dst/v3/original_dst.proto',
  'envoy/extensions/filters/listener/original_src/v3/original_src.proto',
  'envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.proto',
  'envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.proto',
  'envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto',
  'envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3/sni_dynamic_forward_proxy.proto',
  'envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto',
  'envoy/extensions/load_balancing_policies/least_request/v3/least_request.proto',
  'envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.proto',
  'envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality.proto',
  'envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.proto',
  'envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.proto',
  'envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.proto',
  'envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.proto',
  'envoy/extensions/transport_sockets/tls/v3/tls.proto',
  'envoy/extensions/upstreams/http/v3/http_protocol_options.proto',
];

/** Messages that Envoy's API lacks, in protos of our own (src/api/protos). */
const ownRoots = ['istio/networking/nds/v1/nds.proto'];

stageProtos();
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
generateProtos();
const packed = packDescriptors(out);
packExtensions(out, buildExtensions(), packed);
const schemas = readIstioSchemas(root);
writeFileSync(join(out, 'istio-schemas.json'), `${JSON.stringify(schemas)}\n`);
writeFileSync(join(out, 'istio-types.d.ts'), istioTypes(schemas));
writeFileSync(join(out, 'istio-types.js'), 'export {};\n');

function stageProtos() {
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { recursive: true });
  const deps = join(root, 'node_modules/@grpc/grpc-js-xds/deps');
  for (const tree of ['envoy-api', 'xds', 'googleapis', 'protoc-gen-validate']) {
    cpSync(join(deps, tree), join(staging, tree), { recursive: true });
  }
  cpSync(join(root, 'src/api/protos'), join(staging, 'own'), { recursive: true });
  // The validate.proto in that package is older than the Envoy protos beside it: they use
  // `ignore_empty`, which it lacks. Numbers as in bufbuild/protoc-gen-validate v1.0.
  const validate = join(staging, 'protoc-gen-validate/validate/validate.proto');
  const ignoreEmptyNumber = { StringRules: 26, BytesRules: 14, RepeatedRules: 5, MapRules: 6 };
  let text = readFileSync(validate, 'utf8');
  for (const [message, number] of Object.entries(ignoreEmptyNumber)) {
    text = text.replace(
      `message ${message} {`,
      `message ${message} {\n    optional bool ignore_empty = ${number};`,
    );
  }
  for (const scalar of ['Float', 'Double', 'Int32', 'Int64', 'UInt32', 'UInt64', 'SInt32', 'SInt64']) {
    text = text.replace(
      `message ${scalar}Rules {`,
      `message ${scalar}Rules {\n    optional bool ignore_empty = 8;`,
    );
  }
  writeFileSync(validate, text);
  writeFileSync(
    join(staging, 'buf.yaml'),
    'version: v2\nmodules:\n  - path: envoy-api\n  - path: xds\n  - path: googleapis\n  - path: protoc-gen-validate\n  - path: own\n',
  );
  writeFileSync(
    join(staging, 'buf.gen.yaml'),
    [
      'version: v2',
      'plugins:',
      `  - local: [node, ${JSON.stringify(join(root, 'node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es'))}]`,
      `    out: ${JSON.stringify(out)}`,
      '    opt: [target=js+dts, import_extension=js]',
      '    include_imports: true',
      '',
    ].join('\n'),
  );
}

function generateProtos() {
  const files = [
    ...protoRoots.map((proto) => `envoy-api/${proto}`),
    ...ownRoots.map((proto) => `own/${proto}`),
  ];
  const paths = files.flatMap((file) => ['--path', file]);
  const buf = join(root, 'node_modules/@bufbuild/buf/bin/buf');
  execFileSync(process.execPath, [buf, 'generate', ...paths], { cwd: staging, stdio: 'inherit' });
}

/** A FileDescriptorSet of the extensions and all that they import. */
function buildExtensions() {
  const image = join(staging, 'extensions.binpb');
  const paths = extensionRoots(staging).flatMap((proto) => ['--path', proto]);
  const buf = join(root, 'node_modules/@bufbuild/buf/bin/buf');
  const args = ['build', '--exclude-source-info', '--as-file-descriptor-set', '-o', image, ...paths];
  execFileSync(process.execPath, [buf, ...args], { cwd: staging, stdio: 'inherit' });
  return readFileSync(image);
}
