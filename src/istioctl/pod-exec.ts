// `x exec`: runs a command as if in a pod of `fairlead up`: its requests go through that pod's sidecar.
import { spawn } from 'node:child_process';
import { UserError } from '../base/user-error.ts';
import type { ConnectedProxy } from './proxies.ts';

/** What an app of that pod finds in its environment to reach the mesh. */
export function podEnvironment(
  proxy: ConnectedProxy,
  httpProxyPort: number,
): Readonly<Record<string, string>> {
  const { ipAddress } = proxy;
  if (ipAddress === undefined)
    throw new UserError(`the control plane does not say at which address ${proxy.id} is`);
  const address = `http://${ipAddress.includes(':') ? `[${ipAddress}]` : ipAddress}:${httpProxyPort}`;
  const direct = ['localhost', '127.0.0.1', '::1', ipAddress].join(',');
  return {
    POD_NAME: proxy.pod,
    POD_NAMESPACE: proxy.namespace,
    POD_IP: ipAddress,
    // curl reads the lower-case name only, others read either.
    HTTP_PROXY: address,
    http_proxy: address,
    NO_PROXY: direct,
    no_proxy: direct,
    NODE_USE_ENV_PROXY: '1',
  };
}

/** Runs the command with our terminal; resolves to its exit code, or 128 and the signal's number. */
export function execInPod(
  command: readonly [string, ...string[]],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const [program, ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'inherit', env: environment });
    child.on('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'ENOENT' ? 'there is no such program on PATH' : error.message;
      reject(new UserError(`cannot run ${program}: ${why}`, 127));
    });
    child.on('exit', (code, signal) => resolve(code ?? 128 + (signal === 'SIGINT' ? 2 : 15)));
  });
}
