// Names by which gRPC applications without a proxy ask: what they dial, and where they listen.
import { isIP } from 'node:net';
import type { Hostname } from '../../model/hostname.ts';
import type { Service, ServicePort } from '../../model/service.ts';
import type { ProxyScope } from '../resource.ts';
import { visibleService } from '../scope.ts';
import type { World } from '../world.ts';

/** Metadata GENERATOR of applications whose gRPC library speaks xDS itself. */
export const grpcGenerator = 'grpc';

/** In a bootstrap's `server_listener_resource_name_template` `%s` follows. Istio: `grpcxds.ServerListenerNamePrefix`. */
export const serverListenerPrefix = 'xds.istio.io/grpc/lds/inbound/';

export interface Dialled {
  readonly service: Service;
  readonly port: ServicePort;
}

/**
 * The service port behind `host:port` of `xds:///host:port`; undefined where there is none, and for names without a
 * port, which no service could be told by. Hosts may be short as they are in Kubernetes' DNS: `a`, `a.ns`, `a.ns.svc`.
 */
export function dialled(world: World, scope: ProxyScope, name: string): Dialled | undefined {
  const address = hostAndPortOf(name);
  if (address === undefined) return undefined;
  for (const hostname of fullNames(address.host, scope.node.dnsDomain)) {
    const service = visibleService(world, scope, hostname);
    if (service === undefined) continue;
    const port = service.ports.find(
      ({ servicePort, protocol }) => servicePort === address.port && protocol !== 'UDP',
    );
    return port === undefined ? undefined : { service, port };
  }
  return undefined;
}

/** Where a server listens, of a name that asks for that server's listener; undefined for other names. */
export function serverAddress(name: string): { readonly host: string; readonly port: number } | undefined {
  if (!name.startsWith(serverListenerPrefix)) return undefined;
  const address = hostAndPortOf(name.slice(serverListenerPrefix.length));
  return address === undefined || isIP(address.host) === 0 ? undefined : address;
}

function hostAndPortOf(text: string): { host: string; port: number } | undefined {
  const [, inBrackets, plain, digits = ''] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = inBrackets ?? plain;
  const port = Number(digits);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host: host.toLowerCase(), port };
}

/** The name as it is, then as the resolver of the application's namespace would complete it. */
function fullNames(host: string, dnsDomain: string): readonly Hostname[] {
  const service = dnsDomain.indexOf('.svc.');
  if (service < 0) return [host];
  const suffix = dnsDomain.slice(service);
  const labels = host.split('.').length;
  const isBare = labels === 1;
  const isQualified = labels === 2 || (labels === 3 && host.endsWith('.svc'));
  if (isBare) return [host, `${host}.${dnsDomain}`];
  return isQualified ? [host, `${host.replace(/\.svc$/, '')}${suffix}`] : [host];
}
