// The answering server behind real gRPC: every discovery service, in both dialects.
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { DialectName } from '../../src/xds/client/dialect.ts';
import { methodPath } from '../../src/xds/client/grpc-transport.ts';
import { discoveryServices } from '../../src/xds/discovery-services.ts';
import type { AnsweringServer } from './answering-transport.ts';

export interface ServedAnswers {
  /** Ends every stream; the server goes on. */
  dropStreams(): void;
  stop(): void;
}

type Stream = ServerDuplexStream<Buffer, Buffer>;

/** Listens on 127.0.0.1. */
export async function serveAnswers(answers: AnsweringServer, port: number): Promise<ServedAnswers> {
  const server = new Server();
  const streams = new Set<Stream>();
  const serve = (stream: Stream, dialect: DialectName, typeUrl: string | undefined): void => {
    streams.add(stream);
    const transport = answers.createTransport({
      target: () => undefined,
      dialect,
      ...(typeUrl === undefined ? {} : { typeUrl }),
    });
    const inner = transport.open({
      onConnected: () => {},
      onResponse: (bytes) => stream.write(Buffer.from(bytes)),
      onEnd: () => {},
    });
    stream.on('data', (bytes: Buffer) => inner.send(bytes));
    const end = (): void => {
      if (!streams.delete(stream)) return;
      inner.close();
      stream.end();
    };
    stream.on('end', end);
    stream.on('cancelled', end);
    stream.on('error', end);
  };
  const raw = (bytes: Buffer): Buffer => bytes;
  for (const { typeUrl } of discoveryServices) {
    for (const dialect of ['sotw', 'delta'] as const) {
      const method = {
        path: methodPath(dialect, typeUrl),
        requestStream: true,
        responseStream: true,
      } as const;
      const codec = {
        requestSerialize: raw,
        requestDeserialize: raw,
        responseSerialize: raw,
        responseDeserialize: raw,
      };
      server.addService(
        { answer: { ...method, ...codec } },
        { answer: (stream: Stream) => serve(stream, dialect, typeUrl) },
      );
    }
  }
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return {
    dropStreams: () => {
      for (const stream of streams) stream.emit('error', { code: 14, details: 'dropped' });
    },
    stop: () => server.forceShutdown(),
  };
}
