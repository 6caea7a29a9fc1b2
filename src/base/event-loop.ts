// How busy this process is, as its event loop sees it.

/**
 * Each call says which share of the time since the last one (at first: since the start of the process) the event loop
 * was at work, 0 to 1; the rest it has waited for something to happen.
 */
export function busyShareOfEventLoop(): () => number {
  let last = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    return utilization;
  };
}
