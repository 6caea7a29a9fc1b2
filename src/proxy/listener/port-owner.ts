// Which process listens on a port: for the message when it is taken. Linux only; elsewhere nothing is known.
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';

const listening = '0A';

/** `process 1234 (nginx)`, or undefined when it cannot be found out. */
export function ownerOfPort(port: number): string | undefined {
  try {
    const inodes = new Set([...inodesOf('/proc/net/tcp', port), ...inodesOf('/proc/net/tcp6', port)]);
    return inodes.size === 0 ? undefined : findProcess(inodes);
  } catch {
    return undefined;
  }
}

/** Lines of /proc/net/tcp: `sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode`. */
function inodesOf(table: string, port: number): string[] {
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
  return readFileSync(table, 'latin1')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[1]?.endsWith(`:${hexPort}`) === true && columns[3] === listening)
    .flatMap((columns) => columns[9] ?? []);
}

function findProcess(inodes: ReadonlySet<string>): string | undefined {
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid) || !holdsSocket(pid, inodes)) continue;
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean).join(' ');
    return `process ${pid} (${command.slice(0, 120)})`;
  }
  return undefined;
}

function holdsSocket(pid: string, inodes: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      return inode !== undefined && inodes.has(inode);
    });
  } catch {
    // Another user's process, or one that has just ended.
    return false;
  }
}
