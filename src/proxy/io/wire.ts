// The one interface over byte streams: what the codecs and filters of the data plane read from and write to.
import type { SocketAddress } from './socket-address.ts';

/** Receives what happens on a wire. One handler at a time; it may be exchanged between two calls. */
export interface WireHandler {
  /**
   * Bytes came in: `buffer[0, length)`. The memory is shared with every other wire and is only valid during
   * the call (the handler may overwrite it). Copy what must be kept.
   */
  onBytes(buffer: Buffer, length: number): void;
  /** The peer will send no more (FIN). Writing is still possible. */
  onEnd(): void;
  /** All that was written has left the process, after a write had returned false. */
  onDrain(): void;
  /** The wire is gone; called exactly once, last. `errorCode` such as ECONNRESET, or undefined. */
  onClose(errorCode: string | undefined): void;
}

/** A connected byte stream. New wires do not read until `resume`. No method ever throws. */
export interface Wire {
  /** Addresses that were never asked for may be unknown once the wire is destroyed. */
  readonly localAddress: SocketAddress;
  readonly remoteAddress: SocketAddress;
  /** Bytes accepted by write calls that have not left the process. */
  readonly bufferedBytes: number;
  readonly destroyed: boolean;
  /** The kernel's file descriptor, for socket options; -1 where there is none. */
  readonly descriptor: number;
  setHandler(handler: WireHandler): void;
  /**
   * Writes text whose characters are all below 256. Returns false when more than the wire's buffer limit is
   * waiting: the writer should stop until `onDrain`. Writes after the end or on a dead wire are dropped.
   */
  writeText(text: string): boolean;
  /** As writeText; `bytes` are copied if they cannot leave at once, so that the caller may reuse them. */
  writeBytes(bytes: Uint8Array): boolean;
  /** As writeText: `text` and then `bytes`, in one write. */
  writeTextAndBytes(text: string, bytes: Uint8Array): boolean;
  /**
   * As writeBytes, but handed to the kernel within the call and never copied: for writers that gather by
   * themselves. If `bufferedBytes` has grown by the call, the memory must not be touched again.
   */
  writeAtOnce(bytes: Uint8Array): boolean;
  pause(): void;
  resume(): void;
  /** Sends FIN after what is buffered. */
  end(): void;
  /** Drops the wire and what is buffered; `onClose` follows later, never within this call. */
  destroy(): void;
  /** As destroy, with RST. */
  reset(): void;
  setKeepAlive(enabled: boolean, initialDelayMs: number): void;
}

/** A bound socket. */
export interface WireServer {
  /** Where it listens: the port that was given by the kernel if 0 was asked for. */
  readonly address: SocketAddress;
  /** Stops accepting; accepted wires live on. */
  close(): void;
}

export interface ListenOptions {
  readonly address: string;
  readonly port: number;
  readonly backlog?: number | undefined;
  /** Bytes that may wait in one wire before its write calls return false. */
  readonly bufferBytesMax?: number | undefined;
  readonly reusePort?: boolean | undefined;
}

export interface ConnectOptions {
  readonly address: string;
  readonly port: number;
  /** The source address to bind, without a port. */
  readonly localAddress?: string | undefined;
  readonly bufferBytesMax?: number | undefined;
  readonly keepAliveMs?: number | undefined;
}

/** The buffer limit of a wire where the configuration says nothing (Envoy: 1 MiB). */
export const defaultBufferBytesMax = 1024 * 1024;
