// Who has a port: so that "address in use" names the program to end.
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename } from 'node:path';

export interface PortOwner {
  readonly pid: number;
  /** Its command line, shortened; its name where that cannot be read. */
  readonly command: string;
}

/** Why nobody could listen there; undefined if one could. The port is free again when this settles. */
export function listenError(address: string, port: number): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on('error', resolve);
    server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

/**
 * The process that listens on a TCP port of this machine; undefined where nobody does, or where it
 * cannot be known: another user's process, or no /proc (Linux alone has it).
 */
export function portOwner(address: string, port: number): PortOwner | undefined {
  try {
    const inodes = new Set([
      ...listeningInodes('/proc/net/tcp', address, port),
      ...listeningInodes('/proc/net/tcp6', address, port),
    ]);
    return inodes.size === 0 ? undefined : ownerOf(inodes);
  } catch {
    return undefined;
  }
}

const listenState = '0A';
const commandLengthMax = 100;

/** Inodes of sockets that listen on that port of that address or of all addresses. */
function listeningInodes(table: string, address: string, port: number): string[] {
  const wanted = address.includes(':') ? undefined : ipv4Hex(address);
  return readFileSync(table, 'latin1')
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/);
      const [hexAddress = '', hexPort = ''] = local.split(':');
      if (state !== listenState || Number.parseInt(hexPort, 16) !== port || inode === undefined) return [];
      const isAny = /^0+$/.test(hexAddress);
      // IPv6 addresses are compared by nobody here: a listener on that port is the likeliest owner.
      const isIt = isAny || (hexAddress.length > 8 ? wanted === undefined : hexAddress === wanted);
      return isIt ? [inode] : [];
    });
}

/** /proc/net/tcp shows addresses as little-endian words. */
function ipv4Hex(address: string): string {
  const bytes = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
  return bytes.reverse().join('').toUpperCase();
}

function ownerOf(inodes: ReadonlySet<string>): PortOwner | undefined {
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || !hasSocket(entry, inodes)) continue;
    const pid = starterOf(entry) ?? entry;
    return { pid: Number(pid), command: commandOf(pid) };
  }
  return undefined;
}

/**
 * The parent, where it runs the same script: it is the one to end, for it would start its child again.
 * That of a proxy of `fairlead up` is `fairlead up`.
 */
function starterOf(pid: string): string | undefined {
  const parent = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  if (parent === undefined || parent === '0') return undefined;
  const script = scriptOf(pid);
  return script !== undefined && script === scriptOf(parent) ? parent : undefined;
}

/** Name of the script that a `node script.js ...` runs. */
function scriptOf(pid: string): string | undefined {
  try {
    const script = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[1];
    return script?.endsWith('.js') ? basename(script) : undefined;
  } catch {
    return undefined;
  }
}

function hasSocket(pid: string, inodes: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      const inode = /^socket:\[(\d+)\]$/.exec(linkTarget(`/proc/${pid}/fd/${fd}`))?.[1];
      return inode !== undefined && inodes.has(inode);
    });
  } catch {
    // Ended meanwhile, or another user's.
    return false;
  }
}

function linkTarget(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function commandOf(pid: string): string {
  const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim();
  const text = line === '' ? readFileSync(`/proc/${pid}/comm`, 'utf8').trim() : line;
  return text.length > commandLengthMax ? `${text.slice(0, commandLengthMax)}...` : text;
}
