// One request, one response: the Fetch methods of the single-type services (B1.03).
import type { ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import { sotw } from './sotw.ts';
import { sentDetails } from './stream-error.ts';
import type { StreamOptions } from './stream.ts';
import { Stream } from './stream.ts';

/** Answers a call as a stream answers its first request, and ends that stream. */
export function answerOnce(
  call: ServerUnaryCall<Buffer, Buffer>,
  callback: sendUnaryData<Buffer>,
  onlyType: string | undefined,
  options: StreamOptions,
  identities?: readonly string[],
): void {
  let isAnswered = false;
  const answer: sendUnaryData<Buffer> = (error, bytes) => {
    if (isAnswered) return;
    isAnswered = true;
    callback(error, bytes);
  };
  const wire = {
    peer: call.getPeer(),
    identities,
    write: (bytes: Buffer, written: () => void) => {
      answer(null, bytes);
      written();
    },
    pause: () => {},
    resume: () => {},
    fail: (code: number, details: string) => answer({ code, details: sentDetails(details) }),
  };
  const stream = new Stream(wire, sotw, onlyType, options);
  stream.receive(call.request);
  // Nothing of what was asked for exists: here it can be said.
  const { controlPlane } = options;
  const empty = { versionInfo: '', typeUrl: onlyType ?? '', resources: [], removed: [] };
  answer(null, sotw.encode({ ...empty, nonce: '', controlPlane }, empty));
  stream.close();
}
