// Lines of a fixed width: a label, a text that is wrapped, and at the right edge the place in the user's YAML.

export interface Style {
  /** Columns of the terminal. */
  readonly width: number;
  readonly colors: boolean;
}

export type Colour = 'green' | 'red' | 'yellow' | 'dim' | 'bold';

const codes: Readonly<Record<Colour, string>> = {
  green: '\u001b[32m',
  red: '\u001b[31m',
  yellow: '\u001b[33m',
  dim: '\u001b[2m',
  bold: '\u001b[1m',
};

export function paint(style: Style, colour: Colour, text: string): string {
  return style.colors && text !== '' ? `${codes[colour]}${text}\u001b[0m` : text;
}

export interface Row {
  readonly label: string;
  /** A sign before the text, such as ✔. */
  readonly mark?: string;
  readonly markColour?: Colour;
  readonly text: string;
  readonly colour?: Colour;
  /** `reviews.yaml:12`; empty: none. */
  readonly place: string;
}

/** Room for the longest label. */
const labelWidth = 13;
/** Narrower than this nothing is readable: lines are then longer than asked for. */
const textWidthMin = 30;

/** Rows under each other; `indent` columns are kept free at the left. An equal label is not repeated. */
export function layOut(rows: readonly Row[], indent: number, style: Style): string[] {
  const lines: string[] = [];
  let lastLabel = '';
  for (const row of rows) {
    const label = row.label === lastLabel ? '' : row.label;
    if (row.label !== '') lastLabel = row.label;
    lines.push(...layOutRow({ ...row, label }, indent, style));
  }
  return lines;
}

function layOutRow(
  { label, mark = '', markColour, text, colour, place }: Row,
  indent: number,
  style: Style,
): string[] {
  const markWidth = mark === '' ? 0 : mark.length + 1;
  const left = indent + labelWidth;
  const room = Math.max(textWidthMin, style.width - left - markWidth);
  const wrapped = wrap(text, room);
  return withPlace(wrapped, place, room).map(({ text: line, place: at }, index) => {
    const head =
      index === 0
        ? ' '.repeat(indent) +
          paint(style, 'dim', label.padEnd(labelWidth)) +
          (mark === '' ? '' : `${paint(style, markColour ?? 'dim', mark)} `)
        : ' '.repeat(left + markWidth);
    const body = colour === undefined ? line : paint(style, colour, line);
    const gap = at === '' ? '' : ' '.repeat(Math.max(1, room - line.length - at.length));
    return `${head}${body}${gap}${paint(style, 'dim', at)}`.trimEnd();
  });
}

/** The place goes to the right of the last line where there is room, else below it. */
function withPlace(lines: readonly string[], place: string, room: number): { text: string; place: string }[] {
  const plain = lines.map((text) => ({ text, place: '' }));
  if (place === '') return plain;
  const last = plain.at(-1);
  if (last !== undefined && last.text.length + 2 + place.length <= room)
    return [...plain.slice(0, -1), { ...last, place }];
  // A list of places is broken between them.
  const below = place.length <= room ? [place] : place.split(', ');
  return [...plain, ...below.map((each) => ({ text: '', place: each }))];
}

/** Words that are longer than the room are broken at `|`, `/`, `.` or where the room ends. */
export function wrap(text: string, room: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ').flatMap((each) => pieces(each, room))) {
    const joined = line === '' ? word.text : word.glued ? line + word.text : `${line} ${word.text}`;
    if (joined.length <= room || line === '') line = joined;
    else {
      lines.push(line);
      line = word.text;
    }
  }
  lines.push(line);
  return lines;
}

function pieces(word: string, room: number): { text: string; glued: boolean }[] {
  const found: { text: string; glued: boolean }[] = [];
  let rest = word;
  while (rest.length > room) {
    const cut = Math.max(...['|', '/', '.', ','].map((sign) => rest.lastIndexOf(sign, room - 1)));
    const at = cut > room / 3 ? cut + 1 : room;
    found.push({ text: rest.slice(0, at), glued: found.length > 0 });
    rest = rest.slice(at);
  }
  found.push({ text: rest, glued: found.length > 0 });
  return found;
}
