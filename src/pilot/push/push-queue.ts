// Who is to be pushed to: at most one pending request for each connection, merged, first come first served.
import type { PushRequest } from './push-request.ts';
import { mergePushRequests } from './push-request.ts';

export interface PushQueueOptions<Connection> {
  /** Pushes; resolves when the next may take the place. What it throws is the caller's to have caught. */
  readonly push: (connection: Connection, request: PushRequest) => Promise<void> | void;
  /** Pushes under way at a time (Istio: PILOT_PUSH_THROTTLE). */
  readonly concurrency: number;
  /** Gives other work a turn before going on. */
  readonly yieldTurn: (next: () => void) => void;
  /** Time is looked at here only. */
  readonly nowMs: () => number;
  /** Turns longer than this are broken up. Default 8. */
  readonly turnMs?: number;
}

export class PushQueue<Connection> {
  readonly #options: PushQueueOptions<Connection>;
  readonly #pending = new Map<Connection, PushRequest>();
  /** Being pushed to; the value is what came meanwhile (B4.03). */
  readonly #processing = new Map<Connection, PushRequest | undefined>();
  readonly #turnMs: number;
  #scheduled = false;

  constructor(options: PushQueueOptions<Connection>) {
    this.#options = options;
    this.#turnMs = options.turnMs ?? 8;
  }

  /** Connections that wait. */
  get size(): number {
    return this.#pending.size;
  }

  enqueue(connection: Connection, request: PushRequest): void {
    if (this.#processing.has(connection)) {
      this.#processing.set(connection, mergePushRequests(this.#processing.get(connection), request));
      return;
    }
    this.#pending.set(connection, mergePushRequests(this.#pending.get(connection), request));
    this.#run();
  }

  /** Forgets a connection that is gone. */
  remove(connection: Connection): void {
    this.#pending.delete(connection);
    if (this.#processing.has(connection)) this.#processing.set(connection, undefined);
  }

  #run(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#options.yieldTurn(() => this.#turn());
  }

  #turn(): void {
    this.#scheduled = false;
    const untilMs = this.#options.nowMs() + this.#turnMs;
    for (const [connection, request] of this.#pending) {
      if (this.#processing.size >= this.#options.concurrency) return;
      this.#pending.delete(connection);
      this.#processing.set(connection, undefined);
      const done = this.#options.push(connection, request);
      if (done === undefined) this.#finished(connection);
      else void done.then(() => this.#finished(connection));
      if (this.#options.nowMs() >= untilMs) break;
    }
    if (this.#pending.size > 0) this.#run();
  }

  #finished(connection: Connection): void {
    const next = this.#processing.get(connection);
    this.#processing.delete(connection);
    if (next !== undefined) this.enqueue(connection, next);
    else if (this.#pending.size > 0) this.#run();
  }
}
