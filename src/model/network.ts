// Networks: what can be reached from within one only by way of a gateway.

/** A way into a network for mutual TLS. */
export interface NetworkGateway {
  readonly network: string;
  /** Kubernetes cluster that the gateway stands in; empty: not known. */
  readonly clusterId: string;
  /** IP address, or a DNS name. */
  readonly address: string;
  /** Of connections that carry their server name: 15443 by default. */
  readonly port: number;
}
