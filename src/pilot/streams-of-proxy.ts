// The streams of one proxy: one with ADS, several where each type has a service of its own.

export class StreamsOfProxy<Stream extends { readonly node: { readonly id: string } }> {
  readonly #byNode = new Map<string, Set<Stream>>();

  add(stream: Stream): void {
    const streams = this.#byNode.get(stream.node.id);
    if (streams === undefined) this.#byNode.set(stream.node.id, new Set([stream]));
    else streams.add(stream);
  }

  remove(stream: Stream): void {
    const streams = this.#byNode.get(stream.node.id);
    streams?.delete(stream);
    if (streams?.size === 0) this.#byNode.delete(stream.node.id);
  }

  /** The other streams that name the same node. */
  othersOf(stream: Stream): readonly Stream[] {
    const streams = this.#byNode.get(stream.node.id);
    if (streams === undefined || streams.size < 2) return [];
    return [...streams].filter((each) => each !== stream);
  }
}
