// Log files: lines are gathered in one of two preallocated buffers and written asynchronously when
// 64 KiB are full or a second has passed. When the disk (or the reader of a pipe) cannot keep up,
// lines are dropped and counted: a request never waits for its log line.
import { openSync, closeSync, write, writeSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import type { Counter, Gauge, StatsStore } from '../stats/stats.ts';

/** Takes whole lines. */
export interface LogSink {
  /** Appends `line`, which ends with a newline, as one byte per character (Latin-1). */
  write(line: string): void;
}

const flushBytes = 64 * 1024;
const bufferBytes = 256 * 1024;
const flushPeriodMs = 1000;
const retryDelayMs = 10;

interface SinkStats {
  readonly buffered: Counter;
  readonly completed: Counter;
  readonly failed: Counter;
  readonly flushedByTimer: Counter;
  readonly reopenFailed: Counter;
  readonly totalBuffered: Gauge;
  readonly linesDropped: Counter;
}

/** The open log files of one process, one per path. */
export class FileSinks {
  readonly #clock: Clock;
  readonly #stats: SinkStats;
  readonly #sinks = new Map<string, FileSink>();

  constructor(stats: StatsStore, clock: Clock) {
    const scope = stats.scope('filesystem');
    this.#clock = clock;
    this.#stats = {
      buffered: scope.counter('write_buffered'),
      completed: scope.counter('write_completed'),
      failed: scope.counter('write_failed'),
      flushedByTimer: scope.counter('flushed_by_timer'),
      reopenFailed: scope.counter('reopen_failed'),
      totalBuffered: scope.gauge('write_total_buffered'),
      linesDropped: scope.counter('lines_dropped'),
    };
  }

  /** The sink that appends to `path`; `/dev/stdout` and `/dev/stderr` are our own. Throws if it cannot be opened. */
  open(path: string): LogSink {
    let sink = this.#sinks.get(path);
    if (sink === undefined) {
      sink = new FileSink(path, this.#stats, this.#clock);
      this.#sinks.set(path, sink);
    }
    return sink;
  }

  /** Opens every file again, after a log rotation. A file that cannot be opened keeps its old descriptor. */
  reopen(): void {
    for (const sink of this.#sinks.values()) sink.reopen();
  }

  /** Writes what is gathered before returning: for the end of the process. */
  flushSync(): void {
    for (const sink of this.#sinks.values()) sink.flushSync();
  }
}

class FileSink implements LogSink {
  readonly #path: string;
  readonly #stats: SinkStats;
  readonly #clock: Clock;
  #fd: number;
  #filling: Buffer = Buffer.allocUnsafe(bufferBytes);
  #filled = 0;
  #spare: Buffer | undefined = Buffer.allocUnsafe(bufferBytes);
  /** What the operating system is writing now, and how far it came. */
  #writing: { readonly buffer: Buffer; readonly end: number; start: number } | undefined;

  constructor(path: string, stats: SinkStats, clock: Clock) {
    this.#path = path;
    this.#stats = stats;
    this.#clock = clock;
    this.#fd = openLog(path);
    clock.every(flushPeriodMs, () => {
      if (this.#filled === 0) return;
      this.#stats.flushedByTimer.inc();
      this.#flush();
    });
  }

  write(line: string): void {
    if (this.#filled + line.length > bufferBytes) {
      this.#flush();
      if (this.#filled + line.length > bufferBytes) {
        this.#stats.linesDropped.inc();
        return;
      }
    }
    this.#filled += this.#filling.write(line, this.#filled, 'latin1');
    this.#stats.buffered.inc();
    if (this.#filled >= flushBytes) this.#flush();
  }

  reopen(): void {
    try {
      const opened = openLog(this.#path);
      const old = this.#fd;
      this.#fd = opened;
      if (old > 2 && this.#writing === undefined) closeSync(old);
    } catch {
      this.#stats.reopenFailed.inc();
    }
  }

  flushSync(): void {
    const parts =
      this.#writing === undefined
        ? []
        : [this.#writing.buffer.subarray(this.#writing.start, this.#writing.end)];
    parts.push(this.#filling.subarray(0, this.#filled));
    this.#filled = 0;
    try {
      for (const part of parts) {
        for (let done = 0; done < part.length;) done += writeSync(this.#fd, part, done);
      }
    } catch {
      this.#stats.failed.inc();
    }
  }

  /** Hands the full buffer to the operating system, unless it still has the other one. */
  #flush(): void {
    const spare = this.#spare;
    if (spare === undefined || this.#filled === 0) return;
    this.#writing = { buffer: this.#filling, start: 0, end: this.#filled };
    this.#filling = spare;
    this.#filled = 0;
    this.#spare = undefined;
    this.#stats.totalBuffered.set(this.#writing.end);
    this.#writeOn();
  }

  #writeOn(): void {
    const writing = this.#writing;
    if (writing === undefined) return;
    write(this.#fd, writing.buffer, writing.start, writing.end - writing.start, null, (error, written) => {
      if (error?.code === 'EAGAIN') {
        // A pipe whose reader is slow.
        this.#clock.after(retryDelayMs, () => this.#writeOn());
        return;
      }
      if (error === null) {
        writing.start += written;
        if (writing.start < writing.end) {
          this.#writeOn();
          return;
        }
        this.#stats.completed.inc();
      } else {
        this.#stats.failed.inc();
      }
      this.#spare = writing.buffer;
      this.#writing = undefined;
      this.#stats.totalBuffered.set(0);
      if (this.#filled >= flushBytes) this.#flush();
    });
  }
}

/** Descriptors of our own standard streams are used as they are: /dev/stdout cannot be opened when it is a socket. */
function openLog(path: string): number {
  if (path === '/dev/stdout') return 1;
  if (path === '/dev/stderr') return 2;
  return openSync(path, 'a', 0o644);
}
