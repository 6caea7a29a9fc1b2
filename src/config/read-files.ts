// The files that a person names on a command line.
import type { Stats } from 'node:fs';
import { closeSync, fstatSync, openSync, readFileSync, readdirSync, statSync } from 'node:fs';
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
      errors.push(`cannot stat file "${path}": ${error instanceof Error ? error.message : String(error)}`);
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
      if (fileExtensions.includes(extname(entry.name))) files.add(file);
      else skipped.push(file);
    }
  }
  return { files: [...files], skipped, errors, hasDirectory };
}

/** How positions name a file. */
export function shownName(path: string): string {
  return path === '-' ? 'stdin' : path;
}

/** At most one byte more than is allowed, so that the reader refuses what is too large. */
export function readBounded(path: string): Buffer {
  const descriptor = openSync(path, 'r');
  try {
    if (fstatSync(descriptor).size > fileBytesMax) return Buffer.alloc(fileBytesMax + 1);
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
