// Services beside discovery on which clients report: each stream begins with a message that says who it is, is told
// what to report, and reports until it ends. What is reported is the handler's business.
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Node } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { RecentlyTold } from '../../base/recently-told.ts';
import { decoded } from './dialect.ts';
import { firstRequestMs, nodeIdLengthMax, refusalSilenceMs, unreadBytesMax } from './limits.ts';
import type { XdsServer } from './server.ts';
import { hostOf } from './stream.ts';
import { StreamError, grpcStatus, sentDetails } from './stream-error.ts';
import { WorkBudget } from './work-budget.ts';

/** One client's stream. */
export interface ReportStream {
  readonly peer: string;
  /** Who the client has shown to be, by any of these names; undefined: nobody has asked. */
  readonly identities: readonly string[] | undefined;
  /** False: the client has not read what it was sent before, and this is not sent. */
  send(response: Uint8Array): boolean;
  end(code: grpcStatus, message: string): void;
}

export interface ReportHandler<Request> {
  /** Every message, the first one included. Throws StreamError to end the stream. */
  received(request: Request): void;
  /** The client reads again: what `send` refused may be sent. */
  drained?(): void;
  /** The stream is over, whoever ended it. Called once. */
  closed(): void;
}

export interface ReportServiceOptions<Request> {
  /** `LRS`, for messages. */
  readonly name: string;
  /** Full name of the gRPC service. */
  readonly service: string;
  readonly method: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Streams are refused with UNAVAILABLE until this is true. */
  readonly ready: () => boolean;
  /** Throws on bytes that are no request. */
  readonly decode: (bytes: Uint8Array) => Request;
  /** Who it is; only the first message must say so. */
  readonly nodeOf: (request: Request) => Node | undefined;
  /** Takes a new stream on. Throws StreamError to refuse it. */
  readonly connect: (stream: ReportStream, node: Node, first: Request) => ReportHandler<Request>;
  /** Streams at a time; more are refused. Default: 10,000. */
  readonly streamsMax?: number;
}

type Call = ServerDuplexStream<Buffer, Buffer>;

/** Adds the service to a server's ports. */
export class ReportService<Request> {
  readonly #options: ReportServiceOptions<Request>;
  readonly #streams = new Set<Stream<Request>>();
  readonly #told = new RecentlyTold(refusalSilenceMs);

  constructor(server: XdsServer, options: ReportServiceOptions<Request>) {
    this.#options = options;
    const { service, method } = options;
    const raw = (bytes: Buffer): Buffer => bytes;
    server.addService(
      {
        [method]: {
          path: `/${service}/${method}`,
          requestStream: true,
          responseStream: true,
          requestDeserialize: raw,
          requestSerialize: raw,
          responseDeserialize: raw,
          responseSerialize: raw,
        },
      },
      {
        [method]: (call: Call, identities?: readonly string[]) => this.#accept(call, identities),
      },
    );
  }

  /** Streams now. */
  get size(): number {
    return this.#streams.size;
  }

  /** Ends every stream with UNAVAILABLE, so that clients look for another server. */
  close(): void {
    for (const stream of this.#streams)
      stream.end(grpcStatus.UNAVAILABLE, 'the control plane is shutting down');
  }

  #accept(call: Call, identities: readonly string[] | undefined): void {
    // Without a listener an error would end the process.
    call.on('error', () => {});
    const { name, ready, streamsMax = streamsMaxDefault } = this.#options;
    if (!ready()) {
      fail(call, grpcStatus.UNAVAILABLE, 'the control plane has not read its configuration yet; try again');
      return;
    }
    if (this.#streams.size >= streamsMax) {
      fail(call, grpcStatus.RESOURCE_EXHAUSTED, `${name}: more than ${streamsMax} streams; try again later`);
      return;
    }
    const over = (): void => void this.#streams.delete(stream);
    const stream = new Stream(call, identities, this.#options, this.#told, over);
    this.#streams.add(stream);
  }
}

const streamsMaxDefault = 10_000;

class Stream<Request> implements ReportStream {
  readonly peer: string;
  readonly identities: readonly string[] | undefined;
  readonly #call: Call;
  readonly #options: ReportServiceOptions<Request>;
  readonly #told: RecentlyTold;
  readonly #over: () => void;
  #handler: ReportHandler<Request> | undefined;
  #unreadBytes = 0;
  #isOver = false;
  readonly #budget: WorkBudget;

  constructor(
    call: Call,
    identities: readonly string[] | undefined,
    options: ReportServiceOptions<Request>,
    told: RecentlyTold,
    over: () => void,
  ) {
    this.#call = call;
    this.identities = identities;
    this.#options = options;
    this.#told = told;
    this.#over = over;
    this.peer = call.getPeer();
    this.#budget = new WorkBudget(
      options.clock,
      () => void call.pause(),
      () => void call.resume(),
    );
    const silence = options.clock.after(firstRequestMs, () =>
      this.end(grpcStatus.DEADLINE_EXCEEDED, `no message within ${firstRequestMs / 1000} s`),
    );
    call.on('data', (bytes: Buffer) => {
      silence.cancel();
      this.#budget.run(() => this.#receive(bytes));
      if (this.#isOver) this.#budget.dispose();
    });
    for (const event of ['end', 'error', 'cancelled', 'close'] as const) {
      call.on(event, () => {
        silence.cancel();
        this.#close();
        if (event === 'end') call.end();
      });
    }
  }

  send(response: Uint8Array): boolean {
    if (this.#isOver || this.#unreadBytes > unreadBytesMax) return false;
    this.#unreadBytes += response.length;
    this.#call.write(Buffer.from(response), () => {
      const wasBusy = this.#unreadBytes > unreadBytesMax;
      this.#unreadBytes -= response.length;
      if (wasBusy && this.#unreadBytes <= unreadBytesMax && !this.#isOver)
        this.#guard(() => this.#handler?.drained?.());
    });
    return true;
  }

  end(code: grpcStatus, message: string): void {
    if (this.#isOver) return;
    this.#close();
    fail(this.#call, code, message);
  }

  #receive(bytes: Buffer): void {
    if (this.#isOver) return;
    this.#guard(() => {
      const { name, decode, nodeOf, connect } = this.#options;
      const request = decoded(`message of ${name}`, () => decode(bytes));
      this.#handler ??= connect(this, checkedNode(nodeOf(request)), request);
      this.#handler.received(request);
    });
  }

  #close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#budget.dispose();
    this.#over();
    this.#handler?.closed();
  }

  /** One bad stream ends alone. */
  #guard(work: () => void): void {
    const { name, logger, clock } = this.#options;
    try {
      work();
    } catch (error) {
      if (error instanceof StreamError) {
        const line = `${name}: ${this.peer} refused: ${error.message}`;
        if (this.#told.isNews(`${hostOf(this.peer)} ${error.message}`, clock.monotonicMs()))
          logger.warn(line);
        else logger.debug(line);
        this.end(error.code, error.message);
        return;
      }
      const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
      logger.error(`${name}: ${this.peer} ended by an internal error: ${detail}`);
      this.end(grpcStatus.INTERNAL, 'internal error of the control plane');
    }
  }
}

function checkedNode(node: Node | undefined): Node {
  if (node === undefined || node.id === '')
    throw new StreamError(grpcStatus.INVALID_ARGUMENT, 'missing node information');
  if (node.id.length <= nodeIdLengthMax) return node;
  throw new StreamError(
    grpcStatus.INVALID_ARGUMENT,
    `the node id has ${node.id.length} characters: accepted are ${nodeIdLengthMax}`,
  );
}

/** Ends a call with a status; what was written before still goes out. */
function fail(call: Call, code: grpcStatus, details: string): void {
  call.emit('error', { code, details: sentDetails(details) });
}
