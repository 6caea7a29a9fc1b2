import { expect, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { LoggerRegistry } from './logger.ts';

test('Logger: what a peer sent starts no line and speaks to no terminal (traps 20)', () => {
  const lines: string[] = [];
  const loggers = new LoggerRegistry({ clock: new FakeClock(), write: (line) => void lines.push(line) });
  loggers.logger('ads').warn('a\r\nb\tc\u001b[2Jd\u0000e\u009bf\u2028g\u007fh');
  expect(lines).toEqual([
    String.raw`2026-01-01T00:00:00.000Z	warning	ads	a\nb	c\u001b[2Jd\u0000e\u009bf\u2028g\u007fh`,
  ]);
});
