// Waiting for something to become true, with a deadline and a reason.
import { connect } from 'node:net';

/** Asks `probe` again and again until it answers something. Throws with `what` and the last error after `withinMs`. */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | undefined> | T | undefined,
  withinMs = 20_000,
  everyMs = 25,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) {
      throw new Error(`${what}: not within ${withinMs} ms`, { cause: last });
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/**
 * Resolves when somebody listens there. Throws after `withinMs`, and at once where `isHopeless` says that nobody
 * ever will.
 */
export async function untilListening(
  host: string,
  port: number,
  withinMs = 15_000,
  isHopeless: () => boolean = () => false,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await isListening(host, port))) {
    if (isHopeless()) throw new Error(`nothing will listen on ${host}:${port}: the process has ended`);
    if (performance.now() > deadline)
      throw new Error(`nothing listens on ${host}:${port} after ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function isListening(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
