// Several files changed as nearly at once as a file system allows: all are written beside their places, then renamed.
import {
  closeSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { UserError } from '../../base/user-error.ts';

/** What is done to the disk; a test puts a full one in its place. */
export interface Disk {
  /** Writes a whole new file, down to the disk. */
  write(file: string, text: string, mode: number): void;
  rename(from: string, to: string): void;
  remove(file: string): void;
}

export const realDisk: Disk = {
  write(file, text, mode) {
    const descriptor = openSync(file, 'wx', mode);
    try {
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  },
  rename: renameSync,
  remove: (file) => rmSync(file, { force: true }),
};

/**
 * Writes files, or removes those whose text is undefined; a new one of `secretFiles` is for its owner alone. Where one cannot be written, none is changed. Throws a
 * UserError that names the file and the reason.
 */
export function writeFiles(
  edits: ReadonlyMap<string, string | undefined>,
  uniqueName: string,
  disk: Disk = realDisk,
  secretFiles: ReadonlySet<string> = new Set(),
): void {
  const written: { readonly from: string; readonly to: string; readonly shown: string }[] = [];
  const done: string[] = [];
  let current = '';
  try {
    for (const [file, text] of edits) {
      current = file;
      if (text === undefined) continue;
      const { to, mode } = targetOf(file, secretFiles.has(file) ? 0o600 : 0o644);
      // Hidden: the control plane looks at none of these.
      const from = join(dirname(to), `.${basename(to)}.${uniqueName}.tmp`);
      written.push({ from, to, shown: file });
      disk.write(from, text, mode);
    }
    for (const { from, to, shown } of written) {
      current = shown;
      disk.rename(from, to);
      done.push(shown);
    }
    for (const [file, text] of edits) {
      current = file;
      if (text !== undefined) continue;
      disk.remove(file);
      done.push(file);
    }
  } catch (error) {
    for (const { from } of written) removeQuietly(disk, from);
    const what = done.length === 0 ? 'nothing was written' : `only ${done.join(', ')} was written`;
    throw new UserError(`cannot write ${current}: ${reasonOf(error)}; ${what}`);
  }
}

/** A symlink stays one: what it leads to is replaced. */
function targetOf(file: string, modeOfNew: number): { readonly to: string; readonly mode: number } {
  try {
    const to = realpathSync(file);
    return { to, mode: statSync(to).mode & 0o777 };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { to: file, mode: modeOfNew };
    throw error;
  }
}

function removeQuietly(disk: Disk, file: string): void {
  try {
    disk.remove(file);
  } catch {
    // On a disk that is full or read-only there may be nothing to remove.
  }
}

function reasonOf(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'the disk is full';
    case 'EROFS':
      return 'the file system is read-only';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'ENOENT':
    case 'ENOTDIR':
      return 'its directory is gone';
    default:
      return message;
  }
}
