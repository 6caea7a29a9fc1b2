// Time as a parameter. Everything that waits or reads the time takes a Clock, so that tests never sleep.

export interface Timer {
  /** Stops the timer; calling it again does nothing. */
  cancel(): void;
}

export interface Clock {
  /** Wall time: milliseconds since the Unix epoch. For stamps that people read, never for durations. */
  now(): number;
  /** Milliseconds (with fraction) from an arbitrary origin, never going back. For durations. */
  monotonicMs(): number;
  /** Runs `task` once, after `delayMs` at the earliest. The timer keeps the process alive. */
  after(delayMs: number, task: () => void): Timer;
  /** Runs `task` every `periodMs`; never, if that is more than 24.8 days. Does not keep the process alive. */
  every(periodMs: number, task: () => void): Timer;
}

/** Node's longest timer, 24.8 days; a longer one would fire after 1 ms. */
const timerMaxMs = 2_147_483_647;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, task) {
    let handle: NodeJS.Timeout;
    const arm = (restMs: number): void => {
      handle =
        restMs > timerMaxMs
          ? setTimeout(() => arm(restMs - timerMaxMs), timerMaxMs)
          : setTimeout(task, restMs);
    };
    arm(delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
  every(periodMs, task) {
    // A period beyond the longest timer means never (Istio writes 292 years): Node would take it for 1 ms.
    if (periodMs > timerMaxMs) return { cancel: () => {} };
    const handle = setInterval(task, periodMs);
    handle.unref();
    return { cancel: () => clearInterval(handle) };
  },
};

/** Resolves after `delayMs`. */
export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve);
  });
}
