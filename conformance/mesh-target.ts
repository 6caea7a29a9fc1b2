// Runs steps on a whole mesh: `fairlead up` with one data plane, all cases side by side, each in its
// own namespace and with hosts of its own.
import { Agent } from 'node:http';
import type { DataPlane, Mesh } from '../test/support/mesh.ts';
import { startMesh } from '../test/support/mesh.ts';
import type { Answer } from '../test/support/http.ts';
import { waitFor } from '../test/support/wait.ts';
import type { ConformanceCase, Step } from './case.ts';
import { checkAnswers } from './check.ts';

/** How many requests of one step are under way at a time. */
const parallelRequests = 8;

export async function startTarget(
  cases: readonly ConformanceCase[],
  dataPlane: DataPlane,
  network: number,
): Promise<Mesh> {
  const files = Object.fromEntries(cases.map(({ name, config }) => [`${name}.yaml`, config]));
  return startMesh({ files, dataPlane, network, readyWithinMs: 120_000 });
}

/** Runs one step; the list of what was not as expected is empty if all is well. */
export async function runStep(mesh: Mesh, { namespace }: ConformanceCase, step: Step): Promise<string[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: parallelRequests });
  const podIp = step.from === 'gateway' ? undefined : await mesh.podIp(namespace, step.from);
  const send = (): Promise<Answer> => {
    const request = { ...step.request, agent };
    return podIp === undefined ? mesh.fromGateway(request) : mesh.fromPod(podIp, request);
  };
  try {
    const answers: Answer[] = [];
    let left = step.times;
    await Promise.all(
      Array.from({ length: Math.min(parallelRequests, step.times) }, async () => {
        for (; left > 0;) {
          left -= 1;
          answers.push(await send());
        }
      }),
    );
    return checkAnswers(step.expect, answers);
  } finally {
    agent.destroy();
  }
}

/** Waits until the gateway answers for every case, so that the first step meets a settled mesh. */
export async function settled(mesh: Mesh): Promise<void> {
  await waitFor(
    'the gateway',
    async () => (await mesh.fromGateway({ url: 'http://nobody-knows.test/' })).status === 404 || undefined,
  );
}
