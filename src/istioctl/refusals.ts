// What proxies refused, and what waits because of it: told beside the table of `proxy-status`, which has no
// column for either.
import type { ControlPlane } from './control-plane.ts';

/** One entry of the control plane's /debug/rejectz. */
interface RefusalJson {
  readonly proxy?: string;
  readonly type?: string;
  readonly name?: string;
  readonly from?: readonly string[];
  readonly message?: string;
}

/** The part of /debug/adsz that is read. */
interface ClientsJson {
  readonly clients?: readonly {
    readonly connectionId?: string;
    readonly held?: readonly { readonly name?: string; readonly clusters?: readonly string[] }[];
  }[];
}

/** A file that nobody's proxy takes may be in a thousand clusters. */
const notesMax = 50;

/** One line for each refusal and each thing that waits; the same of several proxies once, with their number. */
export async function refusalNotes(controlPlane: ControlPlane): Promise<readonly string[]> {
  const [refusals, clients] = await Promise.all([
    optional(controlPlane, '/debug/rejectz'),
    optional(controlPlane, '/debug/adsz'),
  ]);
  const notes = new Map<string, number>();
  const add = (note: string): void => void notes.set(note, (notes.get(note) ?? 0) + 1);
  for (const refusal of Array.isArray(refusals) ? (refusals as RefusalJson[]) : []) {
    const { type = '', name = '', from = [], message = '' } = refusal;
    const origin = from.length === 0 ? '' : ` (from ${from.join(', ')})`;
    add(`refused: ${type} ${name}${origin}: ${message}`);
  }
  for (const { held = [] } of (clients as ClientsJson | undefined)?.clients ?? []) {
    for (const { name = '', clusters = [] } of held)
      add(`held back: ${name}, until the proxy has ${clusters.join(', ')}`);
  }
  const lines = [...notes].map(([note, count]) => (count === 1 ? note : `${note} [${count} proxies]`));
  const left = lines.length - notesMax;
  return left <= 0
    ? lines
    : [...lines.slice(0, notesMax), `and ${left} more: see /debug/rejectz and /debug/adsz`];
}

/** Other control planes do not have these pages: then there is nothing to tell. */
async function optional(controlPlane: ControlPlane, path: string): Promise<unknown> {
  try {
    return await controlPlane.getJson(path);
  } catch {
    return undefined;
  }
}
