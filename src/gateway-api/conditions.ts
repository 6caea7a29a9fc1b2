// Status conditions: what is said of an object, and how it is joined to what its status says already.

export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  /** metadata.generation of the object that was judged; absent: 0. */
  readonly observedGeneration?: number;
  /** Of conditions that have not changed; who writes a status gives the others theirs. */
  readonly lastTransitionTime?: string;
}

/** Why something is not as the user wants it. */
export interface Problem {
  readonly reason: string;
  readonly message: string;
}

/** What is to be said under one type. */
export interface Verdict {
  readonly reason: string;
  readonly message: string;
  /** Where there is no problem; the opposite where there is one. Absent: True. */
  readonly status?: 'True' | 'False';
  readonly problem?: Problem | undefined;
}

/** By type. */
export type Verdicts = Readonly<Record<string, Verdict>>;

/** Conditions that others wrote stay, each type in its place; new ones come in the order of their types. */
export function joinConditions(
  existing: readonly Condition[] | undefined,
  verdicts: Verdicts,
  generation: number | undefined,
): readonly Condition[] {
  const joined = [...(existing ?? [])];
  for (const type of Object.keys(verdicts).sort()) {
    const condition = conditionOf(type, verdicts[type] as Verdict, generation);
    const index = joined.findIndex((each) => each.type === type);
    const before = joined[index];
    if (before === undefined) joined.push(condition);
    else if (before.status === condition.status && before.lastTransitionTime !== undefined)
      joined[index] = { ...condition, lastTransitionTime: before.lastTransitionTime };
    else joined[index] = condition;
  }
  return joined;
}

function conditionOf(type: string, verdict: Verdict, generation: number | undefined): Condition {
  const { status = 'True', problem } = verdict;
  const inverse = status === 'True' ? 'False' : 'True';
  const { reason, message } = problem ?? verdict;
  return {
    type,
    status: problem === undefined ? status : inverse,
    reason,
    message,
    ...(generation === undefined || generation === 0 ? {} : { observedGeneration: generation }),
  };
}

/** `a`, `a and b`, `a, b, and c` */
export function joinWords(words: readonly string[]): string {
  if (words.length < 3) return words.join(' and ');
  return `${words.slice(0, -1).join(', ')}, and ${words.at(-1) ?? ''}`;
}
