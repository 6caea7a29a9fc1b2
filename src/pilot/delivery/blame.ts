// Whose fault a NACK is: the resources that its text names, and the objects that these came from.
import type { Origin } from '../../model/origin.ts';
import type { Provenance } from '../../translate/resource.ts';

/**
 * Of one refused resource: the origin of the smallest part whose path stands in the text, as our own proxy writes
 * it (`filter_chains[1].transport_socket`); where it names none, the first few.
 */
export function originsIn(message: string, provenance: readonly Provenance[]): readonly Origin[] {
  const named = provenance.filter(({ at }) => at !== '' && standsAsPath(message, protoPath(at)));
  const length = Math.max(0, ...named.map(({ at }) => at.length));
  if (length === 0) return provenance.slice(0, originsMax).map(({ origin }) => origin);
  return named.filter(({ at }) => at.length === length).map(({ origin }) => origin);
}

const originsMax = 3;

/** `filterChains[0]` -> `filter_chains[0]` */
function protoPath(at: string): string {
  return at.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function standsAsPath(message: string, path: string): boolean {
  const at = message.indexOf(path);
  return at >= 0 && !/[\w[]/.test(message[at + path.length] ?? '');
}

/**
 * Those of `names` that stand in an error text as words of their own. Envoy writes names of clusters and
 * listeners: `Error adding/updating cluster(s) outbound|80||a.b: <reason>, outbound|81||c.d: <reason>`.
 * Names that are bare numbers (routes are called by their port) are too likely to stand there by chance.
 */
export function namesIn(message: string, names: readonly string[]): readonly string[] {
  return names.filter((name) => name.length >= nameLengthMin && !/^\d+$/.test(name) && stands(message, name));
}

const nameLengthMin = 3;

function stands(message: string, name: string): boolean {
  for (let at = message.indexOf(name); at >= 0; at = message.indexOf(name, at + 1)) {
    const before = message[at - 1];
    const rest = message.slice(at + name.length, at + name.length + 2);
    if ((before === undefined || !wordCharacter.test(before)) && endsName(rest)) return true;
  }
  return false;
}

const wordCharacter = /[\w.|:*-]/;

/** A name may be the beginning of a longer one; a sentence's dot or colon is followed by a space or nothing. */
function endsName(rest: string): boolean {
  const [first = '', second = ' '] = rest;
  if (first === '' || !wordCharacter.test(first)) return true;
  return (first === '.' || first === ':') && /\s/.test(second);
}
