// Sets of code points as sorted ranges that do not touch. Line feeds are in none: no header value or path has one.

export type Range = readonly [first: number, last: number];
export type CharSet = readonly Range[];

const lastCodePoint = 0x10_ffff;
const lineFeed = 10;

/** Every character that can stand in a text. */
export const anyChar: CharSet = [
  [0, lineFeed - 1],
  [lineFeed + 1, lastCodePoint],
];

/** The characters of all ranges, in any order and overlapping. */
export function charSet(ranges: readonly Range[]): CharSet {
  const sorted = ranges.flatMap(withoutLineFeed).sort(([a], [b]) => a - b);
  const joined: [number, number][] = [];
  for (const [first, last] of sorted) {
    const before = joined.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else joined.push([first, last]);
  }
  return joined;
}

/** All other characters. */
export function complement(set: CharSet): CharSet {
  const ranges: Range[] = [];
  let next = 0;
  for (const [first, last] of set) {
    if (first > next) ranges.push([next, first - 1]);
    next = last + 1;
  }
  if (next <= lastCodePoint) ranges.push([next, lastCodePoint]);
  return charSet(ranges);
}

function withoutLineFeed([first, last]: Range): readonly Range[] {
  if (first > lineFeed || last < lineFeed) return [[first, last]];
  return [
    ...(first < lineFeed ? [[first, lineFeed - 1] as const] : []),
    ...(last > lineFeed ? [[lineFeed + 1, last] as const] : []),
  ];
}
