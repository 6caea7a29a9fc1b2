// One TCP connect to a host, with its timeout.
import type { Deadline } from '../io/deadlines.ts';
import { connect } from '../io/listen.ts';
import type { Wire, WireHandler } from '../io/wire.ts';
import type { PoolOptions } from './connection-pool.ts';
import type { Host } from './host.ts';

export interface ConnectAttemptHandler {
  onConnected(wire: Wire): void;
  onFailed(failure: 'connect failure' | 'connect timeout', details: string): void;
}

type ConnectSettings = Pick<
  PoolOptions,
  'connectTimeoutMs' | 'bufferBytesMax' | 'localAddress' | 'keepAliveMs' | 'deadlines' | 'nowMs' | 'stats'
>;

/** One TCP connect with its timeout. After `giveUp` the handler hears nothing. */
export class ConnectAttempt implements WireHandler, Deadline {
  dueMs = 0;
  armedIndex = -1;
  readonly #host: Host;
  readonly #settings: ConnectSettings;
  readonly #handler: ConnectAttemptHandler;
  #wire: Wire | undefined;
  #over = false;
  #startMs = 0;

  constructor(host: Host, settings: ConnectSettings, handler: ConnectAttemptHandler) {
    this.#host = host;
    this.#settings = settings;
    this.#handler = handler;
  }

  start(): void {
    const { deadlines, nowMs, connectTimeoutMs, stats } = this.#settings;
    this.#startMs = nowMs();
    deadlines.arm(this, this.#startMs + connectTimeoutMs);
    const { address } = this.#host;
    this.#wire = connect(
      {
        address: address.address,
        port: address.port,
        localAddress: this.#settings.localAddress,
        bufferBytesMax: this.#settings.bufferBytesMax,
        keepAliveMs: this.#settings.keepAliveMs,
      },
      this,
      () => {
        if (this.#over) return;
        this.#finish();
        stats.upstream_cx_connect_ms.record(Math.round(nowMs() - this.#startMs));
        this.#handler.onConnected(this.#wire!);
      },
    );
  }

  /** Drops the attempt: the handler is told that it failed. */
  giveUp(): void {
    this.#fail('connect failure', '');
  }

  onDue(): void {
    this.#fail('connect timeout', '');
  }

  onBytes(): void {}
  onEnd(): void {}
  onDrain(): void {}

  onClose(errorCode: string | undefined): void {
    this.#fail('connect failure', errorCode ?? '');
  }

  #fail(failure: 'connect failure' | 'connect timeout', errorCode: string): void {
    if (this.#over) return;
    this.#finish();
    this.#wire?.destroy();
    this.#handler.onFailed(failure, failure === 'connect timeout' ? '' : connectErrorText(errorCode));
  }

  #finish(): void {
    this.#over = true;
    this.#settings.deadlines.disarm(this);
  }
}

const errorTexts: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'Connection refused',
  ECONNRESET: 'Connection reset by peer',
  EHOSTUNREACH: 'No route to host',
  ENETUNREACH: 'Network is unreachable',
  ETIMEDOUT: 'Connection timed out',
  EADDRNOTAVAIL: 'Cannot assign requested address',
  EMFILE: 'Too many open files',
};

/** Envoy's transport failure reason for a connect that failed: `delayed connect error: Connection refused`. */
function connectErrorText(errorCode: string): string {
  if (errorCode === '') return '';
  return `delayed connect error: ${errorTexts[errorCode] ?? errorCode}`;
}
