// A steady open-loop load: requests start when they are due, whatever became of the ones before.
import { Agent } from 'node:http';
import type { Answer } from './http.ts';

export interface SteadyLoad {
  /** Requests started so far. */
  sent(): number;
  /** What went wrong so far: answers that were not 200, and errors. */
  failures(): readonly string[];
  /** The answer that came last. */
  latest(): Answer | undefined;
  /** Stops, and waits for the answers that are still due. */
  stop(): Promise<void>;
}

/** Sends `perSecond` requests a second until stopped. */
export function steadyLoad(perSecond: number, send: (agent: Agent) => Promise<Answer>): SteadyLoad {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const failures: string[] = [];
  const pending = new Set<Promise<void>>();
  let sent = 0;
  let latest: Answer | undefined;
  const startMs = performance.now();
  const timer = setInterval(() => {
    // Catches up after a pause of the event loop, so that the rate is the one promised.
    const due = Math.floor(((performance.now() - startMs) / 1000) * perSecond);
    for (; sent < due; sent += 1) {
      const one = send(agent).then(
        (answer) => {
          latest = answer;
          if (answer.status !== 200) failures.push(`${answer.status} ${answer.body}`);
        },
        (error: unknown) => void failures.push(String(error)),
      );
      pending.add(one);
      void one.finally(() => pending.delete(one));
    }
  }, 5);
  return {
    sent: () => sent,
    failures: () => failures,
    latest: () => latest,
    async stop() {
      clearInterval(timer);
      await Promise.all(pending);
      agent.destroy();
    },
  };
}
