// The rules of this code base that no linter knows, each with its reason. `tidy.test.ts` runs them.
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { rooms } from './rooms.ts';

/** One breach: `file:line: what is wrong: why`. */
export type Breach = string;

interface ForbiddenWord {
  readonly pattern: RegExp;
  readonly message: string;
}

/** Time, chance and the environment come in as parameters; only these rooms read them. */
const ambientRooms = new Set(['base', 'cmd']);
const ambientWords: readonly ForbiddenWord[] = [
  { pattern: /\bDate\.now\(/, message: 'Date.now: take a Clock' },
  { pattern: /\bMath\.random\b/, message: 'Math.random: take a Random' },
  { pattern: /\bprocess\.env\b/, message: 'process.env: options enter once, at cmd/' },
  { pattern: /\b(setTimeout|setInterval)\(/, message: 'a bare timer: take a Clock' },
];

/** Checks every source file below `root`/src. */
export function tidy(root: string): Breach[] {
  const src = join(root, 'src');
  const breaches: Breach[] = [];
  for (const entry of readdirSync(src, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    if (!entry.isFile() || !file.endsWith('.ts') || file.includes('/api/gen/')) continue;
    breaches.push(...checkFile(root, file, readFileSync(file, 'utf8')));
  }
  return breaches;
}

/** Checks one file's text as if it stood at `file`. */
export function checkFile(root: string, file: string, text: string): Breach[] {
  const src = join(root, 'src');
  const room = relative(src, file).split('/')[0] ?? '';
  const isTest = file.endsWith('.test.ts');
  const breaches: Breach[] = [];
  const report = (offset: number, message: string): void => {
    breaches.push(`${relative(root, file)}:${text.slice(0, offset).split('\n').length}: ${message}`);
  };
  const law = rooms[room];
  if (law === undefined) {
    report(
      0,
      `src/${room} is not a room: add it to tools/rooms.ts with its reason, or find where this belongs`,
    );
    return breaches;
  }
  if (/\/utils?\.ts$/.test(file)) report(0, 'a file called utils says nothing: name what it holds');
  for (const { specifier, offset } of importsOf(text)) {
    if (!specifier.startsWith('.')) continue;
    const target = relative(src, resolve(dirname(file), specifier));
    if (target.startsWith('..')) {
      if (!isTest)
        report(offset, `${specifier}: src/ imports nothing outside itself; fakes live in test/support`);
      continue;
    }
    const other = target.split('/')[0] ?? '';
    if (other === room || law.may.includes(other) || isTest) continue;
    const also = law.alsoFolders ?? [];
    if (also.some((folder) => target === folder || target.startsWith(`${folder}/`))) continue;
    report(offset, `${room} must not import ${other} (${specifier}): ${law.reason}`);
  }
  if (!ambientRooms.has(room) && !isTest) {
    for (const { pattern, message } of ambientWords) {
      for (const match of stripComments(text).matchAll(new RegExp(pattern, 'g')))
        report(match.index, message);
    }
  }
  return breaches;
}

function importsOf(text: string): { specifier: string; offset: number }[] {
  const pattern = /\b(?:import|export)\b[^'"`;]*?\bfrom\s*'([^']+)'|\bimport\s*\(?\s*'([^']+)'/g;
  return [...text.matchAll(pattern)].map((match) => ({
    specifier: match[1] ?? match[2] ?? '',
    offset: match.index,
  }));
}

/** Blanks out comments, keeping every offset. */
function stripComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, (comment) =>
    comment.replaceAll(/[^\n]/g, ' '),
  );
}
