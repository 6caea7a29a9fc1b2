// What the tools ask the control plane, on its debug port.
import type { Clock } from '../base/clock.ts';
import { UserError } from '../base/user-error.ts';
import type { HttpAnswer } from './http-get.ts';
import { httpRequest } from './http-get.ts';
import type { XdsPageOptions } from './xds-pages.ts';
import { xdsPages } from './xds-pages.ts';

export const defaultDebugAddress = 'http://127.0.0.1:15014';
const timeoutMs = 5_000;

export class ControlPlane {
  /** `http://host:port`, without a slash at its end; `host:port` of one that is asked over xDS. */
  readonly address: string;
  readonly #ask: (path: string) => Promise<HttpAnswer>;
  /** Name of the flag that moves the address, for messages. */
  readonly #flag: string;

  /** `address` may leave out `http://`. Throws a UserError where it is no address. */
  constructor(
    clock: Clock,
    address: string,
    flag = '--debug-address',
    askOverXds?: (path: string) => Promise<HttpAnswer>,
  ) {
    const full = /^https?:\/\//.test(address) ? address : `http://${address}`;
    if (!URL.canParse(full) || full.startsWith('https:'))
      throw new UserError(
        `${flag}: ${JSON.stringify(address)} is not an address such as ${defaultDebugAddress}`,
      );
    this.address = askOverXds === undefined ? full.replace(/\/+$/, '') : address;
    this.#ask = askOverXds ?? ((path) => httpRequest(clock, 'GET', this.address + path, timeoutMs));
    this.#flag = flag;
  }

  /** One that is asked over xDS, at an address without `http://`. Throws a UserError where it is none. */
  static overXds(clock: Clock, options: XdsPageOptions): ControlPlane {
    if (!/^(\[[^\]]+\]|[^:/\s]+):\d{1,5}$/.test(options.address))
      throw new UserError(
        `--xds-address: ${JSON.stringify(options.address)} is not an address such as 127.0.0.1:15010`,
      );
    return new ControlPlane(clock, options.address, '--xds-address', xdsPages(clock, options));
  }

  /** The body of a debug page; a UserError where nobody answers or the answer is no 200. */
  async get(path: string): Promise<string> {
    let answer: HttpAnswer;
    try {
      answer = await this.#ask(path);
    } catch (error) {
      throw new UserError(
        `cannot reach the control plane at ${this.address}: ${reason(error)}; start it with "fairlead up DIR" or "fairlead pilot", or give ${this.#flag}`,
      );
    }
    const proxy = new URL(path, defaultDebugAddress).searchParams.get('proxyID');
    if (answer.status === 404 && proxy !== null && answer.body.startsWith('Proxy not connected'))
      throw new UserError(
        `${proxy} is not connected to the control plane at ${this.address}; "fairlead proxy-status" lists who is`,
      );
    if (answer.status !== 200)
      throw new UserError(
        `the control plane at ${this.address} answered ${path} with status ${answer.status}: ${answer.body.trim().slice(0, 300)}`,
      );
    return answer.body;
  }

  /** As `get`, parsed. */
  async getJson(path: string): Promise<unknown> {
    const body = await this.get(path);
    try {
      return JSON.parse(body);
    } catch {
      throw new UserError(
        `the control plane at ${this.address} answered ${path} with something that is no JSON: ${body.slice(0, 80)}`,
      );
    }
  }
}

/** The cause of a failed connection in few words. */
export function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  // grpc-js tells the cause in its text alone.
  if (code === 'ECONNREFUSED' || message.includes('connect ECONNREFUSED'))
    return 'nobody listens there (connection refused)';
  if (code === 'ENOTFOUND') return 'no such host';
  if (code === 'ECONNRESET') return 'the connection was reset';
  return message === '' ? (code ?? 'unknown error') : message;
}
