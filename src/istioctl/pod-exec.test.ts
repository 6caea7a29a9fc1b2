// Commands in the place of a pod.
import { expect, test } from 'vitest';
import { UserError } from '../base/user-error.ts';
import { execInPod, podEnvironment } from './pod-exec.ts';
import { proxyOf } from './proxies.ts';

const proxy = proxyOf({ proxy: 'toolbox-1.sidecar', ip: '127.66.0.3' });

test('podEnvironment: the way into the mesh in both spellings, and who the pod is (A5.04)', () => {
  expect(podEnvironment(proxy, 15080)).toMatchObject({
    HTTP_PROXY: 'http://127.66.0.3:15080',
    http_proxy: 'http://127.66.0.3:15080',
    NO_PROXY: 'localhost,127.0.0.1,::1,127.66.0.3',
    POD_NAME: 'toolbox-1',
    POD_NAMESPACE: 'sidecar',
  });
  expect(() => podEnvironment(proxyOf({ proxy: 'a.b' }), 15080)).toThrow(
    /does not say at which address a\.b is/,
  );
});

test('execInPod: the exit code is the command’s; a missing program is named', async () => {
  const environment = { ...process.env, ...podEnvironment(proxy, 15080) };
  expect(await execInPod(['sh', '-c', 'test "$POD_NAME" = toolbox-1 && exit 7'], environment)).toBe(7);
  expect(await execInPod(['sh', '-c', 'kill -TERM $$'], environment)).toBe(143);
  const missing = execInPod(['no-such-program-here'], environment);
  await expect(missing).rejects.toThrow(/cannot run no-such-program-here: there is no such program on PATH/);
  await expect(missing).rejects.toBeInstanceOf(UserError);
});
