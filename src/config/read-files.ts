// The files that a person names on a command line.
import type { Stats } from 'node:fs';
import { closeSync, fstatSync, openSync, readSync, readdirSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileBytesMax } from './reader.ts';

export const fileExtensions: readonly string[] = ['.json', '.yaml', '.yml'];

/**
 * The files that are meant (of directories those with YAML or JSON; `skipped` are the others), and which paths
 * lead nowhere. `-` stays as it is.
 */
export function filesOf(paths: readonly string[]): {
  files: string[];
  skipped: string[];
  errors: string[];
  hasDirectory: boolean;
} {
  const files = new Set<string>();
  const skipped: string[] = [];
  const errors: string[] = [];
  let hasDirectory = false;
  for (const path of paths) {
    let stats: Stats | undefined;
    try {
      stats = path === '-' ? undefined : statSync(path);
    } catch (error) {
      errors.push(
        `cannot stat file "${path}": ${error instanceof Error ? error.message.replace(/, stat '.*'$/s, '') : String(error)}`,
      );
      continue;
    }
    if (stats?.isDirectory() !== true) {
      files.add(path);
      continue;
    }
    hasDirectory = true;
    for (const entry of readdirSync(path, { recursive: true, withFileTypes: true }).sort((a, b) =>
      join(a.parentPath, a.name) < join(b.parentPath, b.name) ? -1 : 1,
    )) {
      if (entry.isDirectory()) continue;
      const file = join(entry.parentPath, entry.name);
      if (fileExtensions.includes(extname(entry.name)) && isFile(file)) files.add(file);
      else skipped.push(file);
    }
  }
  return { files: [...files], skipped, errors, hasDirectory };
}

/** How positions name a file. */
export function shownName(path: string): string {
  return path === '-' ? 'stdin' : path;
}

/** At most one byte more than is allowed, so that the reader refuses what is too large: of pipes and devices, too. */
export function readBounded(path: string): Buffer {
  const descriptor = openSync(path, 'r');
  try {
    return readDescriptor(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** The same, of what is open. The size that a file says is no bound: it may grow, and those of /proc have none. */
export function readDescriptor(descriptor: number): Buffer {
  const saidBytes = fstatSync(descriptor).size;
  if (saidBytes > fileBytesMax) return Buffer.alloc(fileBytesMax + 1);
  const chunks: Buffer[] = [];
  let size = 0;
  while (size <= fileBytesMax) {
    const wanted = Math.min(Math.max(saidBytes + 1 - size, chunkBytes), fileBytesMax + 1 - size);
    const chunk = Buffer.allocUnsafe(wanted);
    const bytes = readSync(descriptor, chunk);
    if (bytes === 0) break;
    chunks.push(chunk.subarray(0, bytes));
    size += bytes;
  }
  const [only] = chunks;
  return chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks, size);
}

const chunkBytes = 4096;

/** Whether a path leads to a file: pipes and devices that stand in a directory are nobody's configuration. */
export function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    // A symlink that leads nowhere: whoever reads it says so.
    return true;
  }
}
