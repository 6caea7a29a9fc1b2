// Ports of all addresses on which listeners of every proxy stand.
import type { World } from '../world.ts';

/** The agent's and Prometheus' ports: listeners of the bootstrap stand there. */
const bootstrapPorts = [15_021, 15_090];

export function isBootstrapPort(port: number): boolean {
  return bootstrapPorts.includes(port);
}

/** The bootstrap's, and those that captured connections are handed to. */
export function isProxyPort(world: World, port: number): boolean {
  const { proxyListenPort, proxyInboundListenPort } = world.meshConfig();
  return isBootstrapPort(port) || port === proxyListenPort || port === proxyInboundListenPort;
}
