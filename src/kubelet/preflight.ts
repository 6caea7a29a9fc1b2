// What must be so before a mesh is started on this machine; what is not is said in words that help.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { listenError, portOwner } from '../base/port-owner.ts';
import { UserError } from '../base/user-error.ts';

export interface PortClaim {
  /** `the ingress gateway`: stands in the message. */
  readonly purpose: string;
  readonly address: string;
  readonly port: number;
  /** `--port`: what moves it. */
  readonly flag: string;
}

/** Throws UserError for the first port that somebody else has, with its owner and what moves it. */
export async function claimPorts(claims: readonly PortClaim[]): Promise<void> {
  for (const claim of claims) {
    const error = await listenError(claim.address, claim.port);
    if (error !== undefined) throw new UserError(portMessage(claim, error));
  }
}

/** A port that is kept so that nobody else has it. */
export interface HeldPort {
  release(): void;
}

/** Takes a port and keeps it. Throws UserError where somebody else has it. */
export function holdPort(claim: PortClaim): Promise<HeldPort> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.on('error', (error) => reject(new UserError(portMessage(claim, error))));
    server.listen({ host: claim.address, port: claim.port, exclusive: true }, () => {
      // It only stands there: nothing waits for it.
      server.unref();
      resolve({ release: () => void server.close() });
    });
  });
}

/** Throws UserError where this machine has not the loopback addresses that pods need. */
export async function checkLoopback(address: string, platform: NodeJS.Platform): Promise<void> {
  const error = await listenError(address, 0);
  if (error === undefined) return;
  throw new UserError(
    `each pod needs a loopback address of its own, and this machine does not let a program listen on ${address} (${error.code ?? error.message}); ${loopbackAdvice(address, platform)}`,
  );
}

/** The lowest port that a process of this user may listen on. */
export function firstOpenPort(): number {
  try {
    if (mayBindAnyPort()) return 0;
    return Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));
  } catch {
    // Not Linux. macOS and Windows let everybody have every port of all addresses; of one address, macOS does not.
    return process.platform === 'win32' || userInfo().uid === 0 ? 0 : 1024;
  }
}

/** Whether an address of this machine can be listened on at all: `::1` may be switched off. */
export async function hasAddress(address: string): Promise<boolean> {
  return (await listenError(address, 0)) === undefined;
}

/** CAP_NET_BIND_SERVICE. */
const bindServiceCapability = 10n;

function mayBindAnyPort(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> bindServiceCapability) & 1n) === 1n;
}

function portMessage({ purpose, address, port, flag }: PortClaim, error: NodeJS.ErrnoException): string {
  const what = `cannot listen on ${address}:${port} for ${purpose}`;
  if (error.code === 'EACCES')
    return `${what}: this user may only use ports from ${firstOpenPort()} on; choose another with ${flag}`;
  if (error.code !== 'EADDRINUSE')
    return `${what}: ${error.code ?? error.message}; choose another with ${flag}`;
  const owner = portOwner(address, port);
  const by = owner === undefined ? 'another process' : `process ${owner.pid} (${owner.command})`;
  return `${what}: ${by} has it; end that process, or choose another with ${flag}`;
}

function loopbackAdvice(address: string, platform: NodeJS.Platform): string {
  if (platform === 'darwin')
    return `on macOS only 127.0.0.1 exists: run this in a Linux container or virtual machine, or add the addresses one by one with: sudo ifconfig lo0 alias ${address} up`;
  return 'run it where all of 127.0.0.0/8 belongs to the loopback interface, as on Linux by default';
}
