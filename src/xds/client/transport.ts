// Streams of bytes to a management server: all that the client knows of gRPC.

/** Opens streams to a management server. */
export interface XdsTransport {
  /** Never throws: a stream that cannot be had ends through `onEnd`, after this call has returned. */
  open(handlers: XdsStreamHandlers): XdsStream;
}

export interface XdsStream {
  send(request: Uint8Array): void;
  /** Reads no further response until `resume`; one or two that are already there may still come. */
  pause(): void;
  resume(): void;
  /** No handler is called afterwards. */
  close(): void;
}

export interface XdsStreamHandlers {
  /** There is a connection. In delta a server that has nothing new says nothing: this is all that tells. */
  onConnected(): void;
  onResponse(response: Uint8Array): void;
  onEnd(reason: string): void;
}

/** A transport that is only loaded once a stream is asked for: gRPC is a large part of the program. */
export function deferredTransport(load: () => Promise<XdsTransport>): XdsTransport {
  return { open: (handlers) => openDeferred(load, handlers) };
}

function openDeferred(load: () => Promise<XdsTransport>, handlers: XdsStreamHandlers): XdsStream {
  let stream: XdsStream | undefined;
  let closed = false;
  let paused = false;
  const waiting: Uint8Array[] = [];
  load().then(
    (transport) => {
      if (closed) return;
      stream = transport.open(handlers);
      for (const request of waiting) stream.send(request);
      if (paused) stream.pause();
    },
    (error: unknown) => {
      if (!closed) handlers.onEnd(error instanceof Error ? error.message : String(error));
    },
  );
  return {
    send: (request) => void (stream === undefined ? waiting.push(request) : stream.send(request)),
    pause: () => {
      paused = true;
      stream?.pause();
    },
    resume: () => {
      paused = false;
      stream?.resume();
    },
    close: () => {
      closed = true;
      stream?.close();
    },
  };
}
