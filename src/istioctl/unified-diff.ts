// The lines in which two texts differ, in the unified form of diff(1).

/** Empty where the texts are equal. `context` lines stand around each difference. */
export function unifiedDiff(
  from: { readonly title: string; readonly text: string },
  to: { readonly title: string; readonly text: string },
  context: number,
): string {
  if (from.text === to.text) return '';
  const edits = editsBetween(lines(from.text), lines(to.text));
  let output = `--- ${from.title}\n+++ ${to.title}\n`;
  for (const hunk of hunksOf(edits, context)) {
    const removed = hunk.filter((edit) => edit.sign !== '+').length;
    const added = hunk.filter((edit) => edit.sign !== '-').length;
    const [first] = hunk;
    const range = (start: number, count: number): string =>
      count === 1 ? String(start + 1) : `${count === 0 ? start : start + 1},${count}`;
    output += `@@ -${range(first?.fromLine ?? 0, removed)} +${range(first?.toLine ?? 0, added)} @@\n`;
    for (const edit of hunk) output += `${edit.sign}${edit.text}\n`;
  }
  return output;
}

interface Edit {
  readonly sign: ' ' | '-' | '+';
  readonly text: string;
  /** Index of the next line of each side before this edit. */
  readonly fromLine: number;
  readonly toLine: number;
}

function lines(text: string): readonly string[] {
  return text.replace(/\n$/, '').split('\n');
}

/** Beyond so many steps of search the differing middle is shown as removed and added as a whole. */
const searchStepsMax = 2_000;

/** Myers' greedy algorithm on what is left after common lines at both ends are set aside. */
function editsBetween(from: readonly string[], to: readonly string[]): readonly Edit[] {
  let head = 0;
  while (head < from.length && head < to.length && from[head] === to[head]) head++;
  let tail = 0;
  while (
    tail < from.length - head &&
    tail < to.length - head &&
    from[from.length - 1 - tail] === to[to.length - 1 - tail]
  )
    tail++;
  const edits: Edit[] = [];
  const push = (sign: Edit['sign'], fromLine: number, toLine: number): void => {
    edits.push({ sign, text: (sign === '+' ? to[toLine] : from[fromLine]) ?? '', fromLine, toLine });
  };
  for (let line = 0; line < head; line++) push(' ', line, line);
  const a = from.slice(head, from.length - tail);
  const b = to.slice(head, to.length - tail);
  let x = 0;
  let y = 0;
  for (const step of shortestScript(a, b)) {
    push(step, head + x, head + y);
    if (step !== '+') x++;
    if (step !== '-') y++;
  }
  for (let line = 0; line < tail; line++) push(' ', from.length - tail + line, to.length - tail + line);
  return edits;
}

function shortestScript(a: readonly string[], b: readonly string[]): readonly Edit['sign'][] {
  const most = Math.min(a.length + b.length, searchStepsMax);
  const traces: Map<number, number>[] = [];
  let reach = new Map<number, number>([[1, 0]]);
  for (let distance = 0; distance <= most; distance++) {
    const next = new Map(reach);
    traces.push(reach);
    for (let diagonal = -distance; diagonal <= distance; diagonal += 2) {
      const down =
        diagonal === -distance ||
        (diagonal !== distance && (next.get(diagonal - 1) ?? 0) < (next.get(diagonal + 1) ?? 0));
      let x = down ? (next.get(diagonal + 1) ?? 0) : (next.get(diagonal - 1) ?? 0) + 1;
      while (x < a.length && x - diagonal < b.length && a[x] === b[x - diagonal]) x++;
      next.set(diagonal, x);
      if (x >= a.length && x - diagonal >= b.length) return walkBack(traces, a.length, b.length);
    }
    reach = next;
  }
  return [...a.map((): Edit['sign'] => '-'), ...b.map((): Edit['sign'] => '+')];
}

function walkBack(
  traces: readonly Map<number, number>[],
  endX: number,
  endY: number,
): readonly Edit['sign'][] {
  const signs: Edit['sign'][] = [];
  let x = endX;
  let y = endY;
  for (let distance = traces.length - 1; distance >= 0; distance--) {
    const reach = traces[distance] ?? new Map<number, number>();
    const diagonal = x - y;
    const down =
      diagonal === -distance ||
      (diagonal !== distance && (reach.get(diagonal - 1) ?? 0) < (reach.get(diagonal + 1) ?? 0));
    const previous = down ? diagonal + 1 : diagonal - 1;
    const previousX = distance === 0 ? 0 : (reach.get(previous) ?? 0);
    const previousY = distance === 0 ? 0 : previousX - previous;
    while (x > previousX && y > previousY) {
      signs.push(' ');
      x--;
      y--;
    }
    if (distance > 0) signs.push(down ? '+' : '-');
    x = previousX;
    y = previousY;
  }
  return signs.reverse();
}

function hunksOf(edits: readonly Edit[], context: number): readonly (readonly Edit[])[] {
  const hunks: Edit[][] = [];
  let current: Edit[] | undefined;
  let keepUntil = -1;
  for (const [index, edit] of edits.entries()) {
    if (edit.sign !== ' ') {
      if (current === undefined) {
        current = edits.slice(Math.max(keepUntil + 1, index - context, 0), index);
        hunks.push(current);
      }
      current.push(edit);
      keepUntil = index + context;
    } else if (current !== undefined) {
      const differsSoon = edits.slice(index, index + context * 2 + 1).some((later) => later.sign !== ' ');
      if (index <= keepUntil || differsSoon) current.push(edit);
      else current = undefined;
    }
  }
  return hunks;
}
