// Earliest deadline first: picks entries in proportion to their weights, evenly spread.

interface Entry<Value> {
  deadline: number;
  /** Order of insertion: ties go to the older. */
  order: number;
  weight: number;
  readonly value: Value;
}

/** A binary heap of deadlines; each pick moves its entry on by 1 / weight. */
export class EdfScheduler<Value> {
  readonly #heap: Entry<Value>[] = [];
  readonly #weightOf: ((value: Value) => number) | undefined;
  #time = 0;
  #order = 0;

  /** `weightOf` is asked anew after each pick; without it weights stay as added. */
  constructor(weightOf?: (value: Value) => number) {
    this.#weightOf = weightOf;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** `weight` is above 0. */
  add(weight: number, value: Value): void {
    this.#heap.push({ deadline: this.#time + 1 / weight, order: this.#order++, weight, value });
    this.#up(this.#heap.length - 1);
  }

  next(): Value | undefined {
    const first = this.#heap[0];
    if (first === undefined) return undefined;
    this.#time = first.deadline;
    if (this.#weightOf !== undefined) first.weight = this.#weightOf(first.value);
    first.deadline = this.#time + 1 / first.weight;
    first.order = this.#order++;
    this.#down(0);
    return first.value;
  }

  #before(a: Entry<Value>, b: Entry<Value>): boolean {
    return a.deadline < b.deadline || (a.deadline === b.deadline && a.order < b.order);
  }

  #up(start: number): void {
    const heap = this.#heap;
    let at = start;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(heap[at]!, heap[parent]!)) return;
      [heap[at], heap[parent]] = [heap[parent]!, heap[at]!];
      at = parent;
    }
  }

  #down(start: number): void {
    const heap = this.#heap;
    let at = start;
    for (;;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && this.#before(heap[child]!, heap[least]!)) least = child;
      }
      if (least === at) return;
      [heap[at], heap[least]] = [heap[least]!, heap[at]!];
      at = least;
    }
  }
}
