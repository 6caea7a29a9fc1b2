// Chance as a parameter.

/** A number in [0, 1), as Math.random. */
export type Random = () => number;

export const systemRandom: Random = Math.random;

/** The same sequence for the same seed (mulberry32): for tests, and for runs that must be repeated. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
