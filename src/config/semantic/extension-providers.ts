// MeshConfig.extensionProviders: servers for logs, traces and authorization that other objects name.
// Source: Istio pkg/config/validation/agent/extensionprovider.go (behaviour of 1.32).
import { isIP } from 'node:net';
import { describeValue, isRecord } from '../schema.ts';
import type { Checker } from './checker.ts';
import { checkNamespacedHost, checkPort, isFqdn } from './rules.ts';

/** Kinds of provider that are a server. */
const serverKinds: ReadonlySet<string> = new Set([
  'datadog',
  'envoyExtAuthzGrpc',
  'envoyExtAuthzHttp',
  'envoyHttpAls',
  'envoyOtelAls',
  'envoyTcpAls',
  'lightstep',
  'opencensus',
  'opentelemetry',
  'skywalking',
  'zipkin',
]);

const otherKinds: ReadonlySet<string> = new Set(['envoyFileAccessLog', 'prometheus', 'sds', 'stackdriver']);

/** A provider that is wrong is of account only where something names it, so that its mesh goes on without it. */
export function checkExtensionProviders(providers: unknown, checker: Checker): void {
  if (!Array.isArray(providers)) {
    checker.error(`must be a list, not ${describeValue(providers)}`);
    return;
  }
  const names = new Set<string>();
  for (const [index, provider] of (providers as readonly unknown[]).entries()) {
    const place = checker.at(index);
    if (!isRecord(provider)) {
      place.error(`must be a map, not ${describeValue(provider)}`);
      continue;
    }
    const { name, ...kinds } = provider;
    if (typeof name !== 'string' || name === '') place.error('a provider needs a name');
    else if (names.has(name)) place.at('name').error(`the name "${name}" is taken by another provider`);
    else names.add(name);
    const [kind, ...more] = Object.keys(kinds);
    if (kind === undefined || more.length > 0) place.error('a provider needs exactly one kind');
    else if (serverKinds.has(kind)) checkServer(kind, kinds[kind], place.at(kind));
    else if (!otherKinds.has(kind)) place.at(kind).error('is no kind of provider');
  }
}

function checkServer(kind: string, value: unknown, checker: Checker): void {
  const provider = isRecord(value) ? value : {};
  const { service, port, accessToken, statusOnError, pathPrefix } = provider;
  checkPort(typeof port === 'number' ? port : undefined, checker.at('port'));
  checkProviderService(typeof service === 'string' ? service : '', checker.at('service'));
  if (kind === 'lightstep' && (typeof accessToken !== 'string' || accessToken === ''))
    checker.error('accessToken is needed');
  if (kind === 'opentelemetry' && provider['grpc'] !== undefined && provider['http'] !== undefined)
    checker.error('only one of grpc and http can be set');
  if (typeof statusOnError === 'string' && statusOnError !== '' && !/^[1-5]\d\d$/.test(statusOnError))
    checker.at('statusOnError').error(`must be an HTTP status, not "${statusOnError}"`);
  if (typeof pathPrefix === 'string' && pathPrefix !== '' && !pathPrefix.startsWith('/'))
    checker.at('pathPrefix').error(`must begin with /, not "${pathPrefix}"`);
}

/** A host or address, without a port; `namespace/host` for one of several services of a name. */
export function checkProviderService(service: string, checker: Checker): void {
  if (service === '') checker.error('must not be empty');
  else if (service.includes('/')) {
    if (service.split('/').length > 2) checker.error(`must be host or namespace/host, not "${service}"`);
    else checkNamespacedHost(service, false, checker);
  } else if (!isFqdn(service) && isIP(service) === 0)
    checker.error(`must be a host or an IP address, without a port, not "${service}"`);
}
