// A plain wire becomes a wire with TLS: the handshake, and what it has led to.
import { HandleWire, loadHandleBinding } from './handle-wire.ts';
import type { HandshakeFacts, TlsHandleOptions } from './tls-handle.ts';
import { TlsHandle, loadTlsWrap } from './tls-handle.ts';
import type { Wire } from './wire.ts';

export interface TlsHandshakeHandler {
  /** The handshake is done and nothing is verified yet. The wire does not read until `resume`. */
  onSecure(wire: Wire, facts: HandshakeFacts): void;
  /** OpenSSL's words, ECONNRESET, or nothing where the peer just closed. */
  onFailed(reason: string): void;
}

/** Whether this Node can do it: TLS stands over libuv's handles, which it names only inside. */
export function supportsTls(): boolean {
  return loadTlsWrap() !== undefined && loadHandleBinding() !== undefined;
}

/**
 * Takes `wire` over and shakes hands on it. The handler hears one of its two, later; after the returned function has
 * been called it hears nothing and the connection is gone.
 */
export function secure(wire: Wire, options: TlsHandleOptions, handler: TlsHandshakeHandler): () => void {
  const binding = loadHandleBinding();
  const wrapTls = loadTlsWrap();
  const taken = wire instanceof HandleWire ? wire.detach() : undefined;
  if (binding === undefined || wrapTls === undefined || taken === undefined) {
    wire.destroy();
    setImmediate(() => handler.onFailed('TLS is not available'));
    return () => {};
  }
  const tls = new TlsHandle(binding, wrapTls, taken.handle, options);
  const secured = new HandleWire(binding, tls, taken.bufferBytesMax);
  let over = false;
  tls.onSecure = () => {
    if (over) return;
    over = true;
    tls.onFatal = (reason) => secured.failWith(reason);
    handler.onSecure(secured, tls.facts());
  };
  tls.onFatal = (reason) => {
    if (over) return;
    over = true;
    secured.destroy();
    handler.onFailed(reason);
  };
  tls.start(options.first, options.isServer);
  return () => {
    if (over) return;
    over = true;
    secured.destroy();
  };
}
