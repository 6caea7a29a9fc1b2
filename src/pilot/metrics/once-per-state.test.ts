import { expect, test } from 'vitest';
import { oncePerState } from './once-per-state.ts';

test('oncePerState: worked out again when the state is another one, and after an error', () => {
  let state = 'a';
  let fails = false;
  let computed = 0;
  const value = oncePerState(
    () => state,
    () => {
      if (fails) throw new Error('later');
      return `${state}${++computed}`;
    },
  );
  expect([value(), value()]).toEqual(['a1', 'a1']);
  state = 'b';
  fails = true;
  expect(value).toThrow('later');
  fails = false;
  expect([value(), value()]).toEqual(['b2', 'b2']);
});
