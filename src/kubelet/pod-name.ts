// Names of pods as Kubernetes makes them: `<deployment>-<hash of its template>-<5 characters>`.
import { createHash } from 'node:crypto';
import type { Random } from '../base/random.ts';
import type { PodTemplateSpec } from '../config/kube-types.ts';

/** Kubernetes' alphabet for generated names: no vowels, and nothing that looks like something else. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';
const hashLength = 10;
const suffixLength = 5;

/** The same for templates that say the same, in whatever order their fields stand. */
export function templateHash(template: PodTemplateSpec): string {
  const digest = createHash('sha256').update(canonicalJson(template)).digest();
  return [...digest.subarray(0, hashLength)].map(letter).join('');
}

export function podName(workloadName: string, hash: string, random: Random): string {
  const suffix = Array.from({ length: suffixLength }, () => letter(Math.floor(random() * 256))).join('');
  // A name is one DNS label: 63 characters.
  return `${workloadName.slice(0, 63 - hashLength - suffixLength - 2)}-${hash}-${suffix}`;
}

function letter(byte: number): string {
  return alphabet[byte % alphabet.length] ?? '';
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
