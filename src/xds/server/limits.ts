// What one client may cost the server. Where Istio has a figure it is Istio's.

/** Istio: `--maxRecvMsgSize` of istiod's gRPC servers. */
export const requestBytesMax = 4 * 1024 * 1024;
/** Streams of one connection, as in Istio; how many begin in a second is bounded by the rate (see defaultRate). */
export const concurrentStreamsMax = 100_000;
export const keepaliveMs = 30_000;
export const keepaliveTimeoutMs = 10_000;
/** A connection without a stream is closed after this: xDS clients open theirs at once and keep it. */
export const idleConnectionMs = 60_000;
/** With more than this on its way to a client nothing is added. So a client holds one large response, or a few small. */
export const unreadBytesMax = 64 * 1024;
/** A peer that connects and says nothing holds a stream no longer than this. */
export const firstRequestMs = 60_000;
/** Kubernetes allows 253 characters for each of the names in it. */
export const nodeIdLengthMax = 1024;
/** Names of one subscription. Each costs memory for as long as it is subscribed. */
export const namesMax = 100_000;
/** Names of clusters hold a host (253 characters), a subset (63) and a port. */
export const nameLengthMax = 2048;
/** Characters of all names of one subscription: twice what one request can hold, for in delta they add up. */
export const namesLengthMax = 8 * 1024 * 1024;
/** Characters of an error that a client tells: Envoy's names every cluster that it refuses. The rest is dropped. */
export const errorLengthMax = 64 * 1024;
/** Type URLs that a stream asks for and that are not served: more are not remembered, nor told. */
export const ignoredTypesMax = 16;
/** The same refusal is logged once in this time: a client that is refused comes again, and again. */
export const refusalSilenceMs = 60_000;
