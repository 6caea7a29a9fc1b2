// Where a dump comes from: a file, stdin, or the admin port of the proxy that a person names.
import { readFile } from 'node:fs/promises';
import type { Clock } from '../base/clock.ts';
import { UserError } from '../base/user-error.ts';
import type { ConfigDump } from './config-dump.ts';
import { parseConfigDump } from './config-dump.ts';
import { ControlPlane, reason } from './control-plane.ts';
import type { HttpAnswer } from './http-get.ts';
import { httpRequest } from './http-get.ts';
import type { ConnectedProxy } from './proxies.ts';
import { connectedProxies, findProxy } from './proxies.ts';

/** How the commands find a proxy; each field is a flag. */
export interface ProxyPlace {
  /** `POD[.NS]` or `deploy/NAME[.NS]`. */
  readonly name?: string | undefined;
  readonly namespace?: string | undefined;
  /** A saved answer; `-` is stdin. */
  readonly file?: string | undefined;
  /** `http://host:port` of one admin port: no control plane is asked. */
  readonly adminAddress?: string | undefined;
  readonly adminPort: number;
  readonly debugAddress: string;
}

export interface ProxyAdminIo {
  readonly clock: Clock;
  readonly readStdin: () => Promise<string>;
  /** Working directory: files of sources are shown relative to it. */
  readonly directory: string;
}

const timeoutMs = 10_000;

/** Throws a UserError unless exactly one of name, file and adminAddress is given. */
export function checkPlace(command: string, place: ProxyPlace): void {
  const given = [place.name, place.file, place.adminAddress].filter((part) => part !== undefined);
  if (given.length !== 1)
    throw new UserError(
      `${command} requires pod name or --file parameter (or --admin-address), and only one of them`,
    );
}

/** The text that `path` of the admin port answers, or the file's; and where it came from, for messages. */
export async function readAnswer(
  io: ProxyAdminIo,
  place: ProxyPlace,
  path: string,
): Promise<{ readonly text: string; readonly from: string; readonly proxy?: ConnectedProxy }> {
  if (place.file === '-') return { text: await io.readStdin(), from: 'stdin' };
  if (place.file !== undefined) {
    try {
      return { text: await readFile(place.file, 'utf8'), from: place.file };
    } catch (error) {
      throw new UserError(`cannot read ${place.file}: ${(error as Error).message}`);
    }
  }
  const { address, proxy } = await adminOf(io, place);
  const text = await askAdmin(io, address, 'GET', path, proxy?.id);
  return { text, from: address + path, ...(proxy === undefined ? {} : { proxy }) };
}

export async function readDump(
  io: ProxyAdminIo,
  place: ProxyPlace,
  path = '/config_dump',
): Promise<{ readonly dump: ConfigDump; readonly proxy?: ConnectedProxy }> {
  const { text, from, proxy } = await readAnswer(io, place, path);
  return { dump: parseConfigDump(text, from), ...(proxy === undefined ? {} : { proxy }) };
}

/** The admin address of the proxy that is meant. */
export async function adminOf(
  io: ProxyAdminIo,
  place: ProxyPlace,
): Promise<{ readonly address: string; readonly proxy?: ConnectedProxy }> {
  if (place.adminAddress !== undefined) {
    const address = place.adminAddress.startsWith('http://')
      ? place.adminAddress
      : `http://${place.adminAddress}`;
    if (!URL.canParse(address))
      throw new UserError(
        `--admin-address: ${JSON.stringify(place.adminAddress)} is not an address such as 127.0.0.1:15000`,
      );
    return { address: address.replace(/\/+$/, '') };
  }
  const proxies = await connectedProxies(new ControlPlane(io.clock, place.debugAddress));
  const proxy = findProxy(proxies, place.name ?? '', place.namespace);
  if (proxy.ipAddress === undefined)
    throw new UserError(
      `the control plane does not say at which address ${proxy.id} is: give --admin-address HOST:PORT of its proxy`,
    );
  const host = proxy.ipAddress.includes(':') ? `[${proxy.ipAddress}]` : proxy.ipAddress;
  return { address: `http://${host}:${place.adminPort}`, proxy };
}

/** One request to an admin port; a UserError names the proxy and the flag that moves the port. */
export async function askAdmin(
  io: ProxyAdminIo,
  address: string,
  method: 'GET' | 'POST',
  path: string,
  id?: string,
): Promise<string> {
  const who = id === undefined ? address : `${id} at ${address}`;
  let answer: HttpAnswer;
  try {
    answer = await httpRequest(io.clock, method, address + path, timeoutMs);
  } catch (error) {
    throw new UserError(
      `could not contact sidecar: the proxy of ${who} does not answer: ${reason(error)}; is it running? --proxy-admin-port or --admin-address say where its admin port is`,
    );
  }
  if (answer.status !== 200)
    throw new UserError(
      `the proxy of ${who} answered ${path} with status ${answer.status}: ${answer.body.trim().slice(0, 300)}`,
    );
  return answer.body;
}
