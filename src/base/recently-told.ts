// What was told a moment ago: a thousand proxies that refuse the same thing need one line, not a thousand.

/** No more than this many are remembered; beyond it all are forgotten, and may be told again. */
const rememberedMax = 1000;

export class RecentlyTold {
  readonly #forMs: number;
  readonly #untilMs = new Map<string, number>();

  /** What has been told is not news for `forMs` milliseconds after it was last heard. */
  constructor(forMs: number) {
    this.#forMs = forMs;
  }

  /** Whether `text` is to be told at `nowMs`; remembers it. */
  isNews(text: string, nowMs: number): boolean {
    const untilMs = this.#untilMs.get(text);
    if (this.#untilMs.size >= rememberedMax) this.#untilMs.clear();
    this.#untilMs.set(text, nowMs + this.#forMs);
    return untilMs === undefined || untilMs <= nowMs;
  }
}
