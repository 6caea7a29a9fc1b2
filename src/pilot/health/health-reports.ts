// What clients that check endpoints (HDS) found, put together: an endpoint is unwell where somebody found it so and
// nobody found it well, for whoever checks may itself be cut off.

/** Of one client, by service (`namespace/hostname`) and endpoint (`address:port`): whether it is well. */
export type HealthFindings = ReadonlyMap<string, ReadonlyMap<string, boolean>>;

export class HealthReports {
  readonly #changed: (service: string, unwell: readonly string[]) => void;
  readonly #findings = new Map<object, HealthFindings>();
  readonly #unwell = new Map<string, readonly string[]>();

  /** `changed` is told the endpoints of a service that are unwell now, sorted. */
  constructor(changed: (service: string, unwell: readonly string[]) => void) {
    this.#changed = changed;
  }

  /** By service; those without any are left out. */
  get unwell(): ReadonlyMap<string, readonly string[]> {
    return this.#unwell;
  }

  /** All that a client has found; it takes the place of what it found before. */
  report(client: object, findings: HealthFindings): void {
    const before = this.#findings.get(client);
    this.#findings.set(client, findings);
    this.#settle([...(before?.keys() ?? []), ...findings.keys()]);
  }

  /** A client that has gone says nothing any more. */
  remove(client: object): void {
    const before = this.#findings.get(client);
    if (before === undefined) return;
    this.#findings.delete(client);
    this.#settle(before.keys());
  }

  #settle(services: Iterable<string>): void {
    for (const service of new Set(services)) {
      const known = this.#unwell.get(service) ?? [];
      const now = this.#unwellOf(service);
      if (known.length === now.length && known.every((each, index) => each === now[index])) continue;
      if (now.length === 0) this.#unwell.delete(service);
      else this.#unwell.set(service, now);
      this.#changed(service, now);
    }
  }

  #unwellOf(service: string): readonly string[] {
    const well = new Set<string>();
    const unwell = new Set<string>();
    for (const findings of this.#findings.values())
      for (const [endpoint, isWell] of findings.get(service) ?? []) (isWell ? well : unwell).add(endpoint);
    return [...unwell].filter((endpoint) => !well.has(endpoint)).sort();
  }
}
