// Whether a Gateway asks which namespace a VirtualService is from.
import type { GatewaySpec } from '../../api/gen/istio-types.js';
import type { Objects } from '../object.ts';
import { specOf } from '../object.ts';

/** `gateway` is `namespace/name`. False also for one that is not known. */
export function gatewayAcceptsAllNamespaces(gateway: string, objects: Objects): boolean {
  const slash = gateway.indexOf('/');
  const object = objects.find('Gateway', gateway.slice(0, slash), gateway.slice(slash + 1));
  if (object === undefined) return false;
  const hosts = (specOf<GatewaySpec>(object).servers ?? []).flatMap(({ hosts: own }) => own ?? []);
  return hosts.every((host) => !host.includes('/') || host.startsWith('*/'));
}
