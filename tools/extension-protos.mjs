// Which protos of Envoy are packed as descriptors alone: what people write into EnvoyFilters, beside what
// Fairlead itself speaks.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Folders of `envoy-api/envoy`; every proto below them counts. */
const folders = [
  'extensions',
  'config/rbac/v3',
  'config/common/matcher/v3',
  'config/common/mutation_rules/v3',
];

/** Single files, from the staging folder. */
const files = [
  'envoy-api/envoy/config/trace/v3/datadog.proto',
  'envoy-api/envoy/config/trace/v3/opentelemetry.proto',
  'envoy-api/envoy/config/trace/v3/skywalking.proto',
  'envoy-api/envoy/config/trace/v3/xray.proto',
  'envoy-api/envoy/config/trace/v3/zipkin.proto',
  // The way around this list: Envoy itself reads what stands in them.
  'xds/udpa/type/v1/typed_struct.proto',
  'xds/xds/type/v3/typed_struct.proto',
];

/** Left out: of no use in a mesh's proxies, or in need of protos that do not ship with the others. */
const leftOut =
  /access_loggers\/open_telemetry|alts|async_files|aws_|dubbo|geoip|kill_request|proto_message_logging|quic|resource_monitors|s2a|socket_interface|thrift|tls\/v3\/cert\.proto|watchdog|zookeeper/;

/** Paths below `staging`. */
export function extensionRoots(staging) {
  const found = folders.flatMap((folder) => {
    const base = `envoy-api/envoy/${folder}`;
    return readdirSync(join(staging, base), { recursive: true })
      .map((name) => `${base}/${name.replaceAll('\\', '/')}`)
      .filter((name) => name.endsWith('.proto') && !leftOut.test(name));
  });
  return [...found, ...files].sort((a, b) => (a < b ? -1 : 1));
}
