// Compares the answers to a step's requests with what the step expects.
import type { Answer } from '../test/support/http.ts';
import type { Expectation, TextExpectation } from './case.ts';

/** What the echo server says that it saw; undefined where somebody else answered. */
export interface Seen {
  readonly pod: string;
  readonly version: string;
  /** As received, in order. */
  readonly headers: readonly (readonly [string, string])[];
}

/** Every difference, as sentences; empty if all is as expected. */
export function checkAnswers(expect: Expectation, answers: readonly Answer[]): string[] {
  const problems = new Set<string>();
  for (const answer of answers) for (const problem of checkOne(expect, answer)) problems.add(problem);
  if (expect.shares !== undefined)
    for (const problem of checkShares(expect.shares, answers)) problems.add(problem);
  return [...problems];
}

export function seenBy(answer: Answer): Seen | undefined {
  if (!(answer.headers['content-type'] ?? '').startsWith('application/json')) return undefined;
  try {
    const json: unknown = JSON.parse(answer.body);
    return typeof json === 'object' && json !== null && 'headers' in json ? (json as Seen) : undefined;
  } catch {
    return undefined;
  }
}

function checkOne(expect: Expectation, answer: Answer): string[] {
  const problems: string[] = [];
  const same = (what: string, wanted: TextExpectation | undefined, actual: string | undefined): void => {
    if (wanted !== undefined && !textIs(wanted, actual)) {
      problems.push(`${what}: expected ${JSON.stringify(wanted)}, got ${JSON.stringify(actual ?? null)}`);
    }
  };
  same('status', expect.status, String(answer.status));
  for (const [name, wanted] of Object.entries(expect.headers ?? {}))
    same(`header ${name}`, wanted, answer.headers[name]);
  same('body', expect.body, answer.body);
  if (expect.seen !== undefined) {
    const seen = seenBy(answer);
    if (seen === undefined)
      problems.push(`the echo server did not answer: ${answer.status} ${answer.body.slice(0, 200)}`);
    else {
      for (const [field, wanted] of Object.entries(expect.seen)) {
        same(`seen.${field}`, wanted, fieldOf(seen, field));
      }
    }
  }
  if (expect.durationMs !== undefined) {
    const [least, most] = expect.durationMs;
    if (answer.durationMs < least || answer.durationMs > most) {
      problems.push(`duration: expected ${least} to ${most} ms, took ${Math.round(answer.durationMs)} ms`);
    }
  }
  return problems;
}

function fieldOf(seen: Seen, field: string): string | undefined {
  if (field.startsWith('headers.')) {
    const wanted = field.slice('headers.'.length);
    const values = seen.headers.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);
    return values.length === 0 ? undefined : values.join(', ');
  }
  const value = (seen as unknown as Record<string, unknown>)[field];
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}

function textIs(wanted: TextExpectation, actual: string | undefined): boolean {
  if (wanted === null) return actual === undefined;
  if (actual === undefined) return false;
  const text = String(wanted);
  const pattern = /^\/(.*)\/s?$/s.exec(text);
  // Patterns stand in our own case files: they are not user input.
  return pattern === null || text.length < 2 ? text === actual : new RegExp(pattern[1] ?? '').test(actual);
}

function checkShares(shares: NonNullable<Expectation['shares']>, answers: readonly Answer[]): string[] {
  const problems: string[] = [];
  for (const [key, [least, most]] of Object.entries(shares)) {
    const hits = answers.filter(
      (answer) => String(answer.status) === key || seenBy(answer)?.version === key,
    ).length;
    const share = hits / answers.length;
    if (share < least || share > most) {
      problems.push(
        `share of ${key}: expected ${least} to ${most}, got ${share.toFixed(3)} of ${answers.length}`,
      );
    }
  }
  return problems;
}
