// Whose fault a NACK is: the resources that its text names, and the objects that these came from.

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
