// Envoy's limits on frames that cost the sender nothing (CVE-2019-9511 to 9518), as one object a connection.
import type { CodecStats } from './codec-stats.ts';
import type { Http2Options } from './options.ts';

export class FloodGuard {
  readonly #options: Http2Options;
  readonly #stats: CodecStats;
  #streams = 0;
  #dataFramesSent = 0;
  #emptyInARow = 0;
  #priorityFrames = 0;
  #windowUpdates = 0;

  constructor(options: Http2Options, stats: CodecStats) {
    this.#options = options;
    this.#stats = stats;
  }

  onStream(): void {
    this.#streams++;
  }

  onDataSent(): void {
    this.#dataFramesSent++;
  }

  // Each returns whether the limit is passed.

  /** A DATA, HEADERS or CONTINUATION frame; `empty`: it carries nothing and does not end its stream. */
  onMessageFrame(empty: boolean): boolean {
    if (!empty) {
      this.#emptyInARow = 0;
      return false;
    }
    if (++this.#emptyInARow <= this.#options.emptyInboundFramesMax) return false;
    this.#stats.inbound_empty_frames_flood.inc();
    return true;
  }

  onPriority(): boolean {
    const most = this.#options.priorityFramesPerStreamMax * (1 + this.#streams);
    if (++this.#priorityFrames <= most) return false;
    this.#stats.inbound_priority_frames_flood.inc();
    return true;
  }

  onWindowUpdate(): boolean {
    const perFrame = this.#options.windowUpdatesPerDataFrameMax;
    const most = 5 + 2 * (this.#streams + perFrame * this.#dataFramesSent);
    if (++this.#windowUpdates <= most) return false;
    this.#stats.inbound_window_update_frames_flood.inc();
    return true;
  }
}
