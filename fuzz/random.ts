// Chance that can be had again: a seed gives the same draws on every machine.

/** Mulberry32: 32 bits of state are plenty for choosing from short lists. */
export class Draw {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 (inclusive) to 1 (exclusive). */
  fraction(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** From `min` to `max`, both inclusive. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.fraction() * (max - min + 1));
  }

  one<T>(choices: readonly T[]): T {
    const chosen = choices[this.integer(0, choices.length - 1)];
    if (chosen === undefined) throw new Error('nothing to choose from');
    return chosen;
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  /** Each of these fields with that probability: `{}` if none. */
  some(probability: number, fields: Readonly<Record<string, () => unknown>>): Record<string, unknown> {
    return Object.fromEntries(
      Object.entries(fields).flatMap(([name, make]) => (this.chance(probability) ? [[name, make()]] : [])),
    );
  }

  list<T>(min: number, max: number, make: () => T): T[] {
    return Array.from({ length: this.integer(min, max) }, make);
  }
}
