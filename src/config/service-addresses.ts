// The addresses by which a Kubernetes Service is reached from outside its cluster.
import type { Config } from './config.ts';
import type { KubeServiceSpec, KubeServiceStatus } from './kube-types.ts';

/** What its load balancer gave it: IP addresses and host names. */
export function loadBalancerAddresses({ status }: Config<KubeServiceSpec>): readonly string[] {
  const { loadBalancer } = (status ?? {}) as KubeServiceStatus;
  return (loadBalancer?.ingress ?? [])
    .map(({ ip, hostname }) => ip ?? hostname ?? '')
    .filter((address) => address !== '');
}

/** Those, and its `externalIPs`. */
export function externalAddresses(service: Config<KubeServiceSpec>): readonly string[] {
  const written = (service.spec.externalIPs ?? []).filter((address) => address !== '');
  return [...loadBalancerAddresses(service), ...written];
}
