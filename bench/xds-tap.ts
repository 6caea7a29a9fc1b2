// A TCP relay between a proxy and its control plane that tells when the proxy sends an xDS request:
// an HTTP/2 DATA frame from the client. On an ADS stream that is an ACK, a NACK or a subscription.
import { connect, createServer } from 'node:net';
import type { Server } from 'node:net';

export interface XdsTap {
  readonly port: number;
  /** Resolves with the time (performance.now) of its last request, once the proxy has been silent for `quietMs` after one. */
  nextRequest(quietMs: number): Promise<number>;
  close(): void;
}

export async function tapXds(controlPlanePort: number): Promise<XdsTap> {
  let waiting: ((atMs: number) => void) | undefined;
  const server: Server = createServer((proxy) => {
    const controlPlane = connect(controlPlanePort, '127.0.0.1');
    const frames = new FrameScanner();
    proxy.setNoDelay(true);
    controlPlane.setNoDelay(true);
    proxy.on('data', (chunk: Buffer) => {
      if (frames.scan(chunk)) waiting?.(performance.now());
      controlPlane.write(chunk);
    });
    controlPlane.on('data', (chunk: Buffer) => proxy.write(chunk));
    for (const [one, other] of [
      [proxy, controlPlane],
      [controlPlane, proxy],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    nextRequest: (quietMs) =>
      new Promise((resolve) => {
        let lastMs = 0;
        let timer: NodeJS.Timeout | undefined;
        waiting = (atMs) => {
          lastMs = atMs;
          clearTimeout(timer);
          timer = setTimeout(() => {
            waiting = undefined;
            resolve(lastMs);
          }, quietMs);
        };
      }),
    close: () => server.close(),
  };
}

const prefaceBytes = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'.length;
const frameHeaderBytes = 9;
const dataFrame = 0;

/** Finds DATA frames with content in what an HTTP/2 client sends, however it is cut into chunks. */
class FrameScanner {
  #skipBytes = prefaceBytes;
  #header: number[] = [];

  /** Whether a DATA frame with content begins in this chunk. */
  scan(chunk: Buffer): boolean {
    let found = false;
    let at = 0;
    while (at < chunk.length) {
      if (this.#skipBytes > 0) {
        const skipped = Math.min(this.#skipBytes, chunk.length - at);
        this.#skipBytes -= skipped;
        at += skipped;
        continue;
      }
      this.#header.push(chunk[at] ?? 0);
      at += 1;
      if (this.#header.length < frameHeaderBytes) continue;
      const [high = 0, middle = 0, low = 0, type = 0] = this.#header;
      const lengthBytes = (high << 16) | (middle << 8) | low;
      found ||= type === dataFrame && lengthBytes > 0;
      this.#skipBytes = lengthBytes;
      this.#header = [];
    }
    return found;
  }
}
