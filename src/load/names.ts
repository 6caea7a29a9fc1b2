// Lists of resource names, one for all proxies that ask for the same: a thousand proxies ask for the endpoints of the
// same thousand clusters, and each ACK of the state of the world repeats them.
import { MessageWriter } from '../api/wire-format.ts';

export interface NameList {
  /** Sorted, no name twice. */
  readonly names: readonly string[];
  /** As `resource_names` (field 3) of a DiscoveryRequest. */
  readonly encoded: Uint8Array;
}

export const noNames: NameList = { names: [], encoded: new Uint8Array() };

/** Lists that nobody has are kept too; far more than a mesh has kinds of proxies. */
const listsMax = 5000;
const textsMax = 1_000_000;

/** Texts and lists of texts that are equal become the same object. */
export class NamePool {
  readonly #texts = new Map<string, string>();
  readonly #lists = new Map<string, NameList>();

  /** The one copy of a text. A slice of a message would keep all of it in memory. */
  text(text: string): string {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    if (this.#texts.size >= textsMax) this.#texts.clear();
    this.#texts.set(text, text);
    return text;
  }

  list(names: Iterable<string>): NameList {
    const sorted = [...new Set(names)].sort();
    if (sorted.length === 0) return noNames;
    const key = sorted.join('\n');
    const known = this.#lists.get(key);
    if (known !== undefined) return known;
    const writer = new MessageWriter();
    for (const name of sorted) writer.text(3, name);
    const list: NameList = { names: sorted, encoded: writer.finish() };
    if (this.#lists.size >= listsMax) this.#lists.clear();
    this.#lists.set(key, list);
    return list;
  }
}
