// One run: analyzers over objects, then what was suppressed taken out, in an order that does not depend on files.
import { kindName } from '../config/config.ts';
import type { AnalysisContext, Analyzer, Finding, Message } from './analyzer.ts';
import type { MeshSettings } from './mesh-settings.ts';
import { levels } from './messages.ts';
import type { AnalysisObject } from './object.ts';
import { Objects, friendlyName } from './object.ts';

export interface AnalysisInput {
  readonly objects: readonly AnalysisObject[];
  readonly findings: readonly Finding[];
  readonly mesh: MeshSettings;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  readonly analyzers: readonly Analyzer[];
}

export interface Suppression {
  readonly code: string;
  /** `Kind namespace/name` or `Kind name.namespace`, where `*` stands for any text. */
  readonly resource: string;
}

/** Everything that the analyzers say, each once: the worst first, then by code, object and place. */
export function analyze({ objects, findings, mesh, nowMs, analyzers }: AnalysisInput): readonly Message[] {
  const messages = new Map<string, Message>();
  const report: AnalysisContext['report'] = ({ type, text }, object, ...path) => {
    const position = object.locate(path);
    const place = position === undefined ? '' : `${position.file}:${position.line}`;
    const key = `${type.code} ${friendlyName(object)} ${object.cluster} ${place} ${text}`;
    if (!messages.has(key)) messages.set(key, { type, text, object, position });
  };
  const context = { objects: new Objects(objects), findings, mesh, nowMs, report };
  for (const { run } of analyzers) run(context);
  return [...messages.values()].sort(compareMessages);
}

/** Whether there is anything for an analyzer to compare with. */
export function isRunnable({ needs }: Analyzer, kinds: ReadonlySet<string>): boolean {
  return needs === undefined || needs.some((kind) => kinds.has(kind));
}

/** Whether the object's annotation or one of the suppressions silences a message. */
export function isSuppressed({ type, object }: Message, suppressions: readonly Suppression[]): boolean {
  const own = object.annotations['galley.istio.io/analyze-suppress'] ?? '';
  if (own.split(',').some((code) => code.trim() === '*' || code.trim() === type.code)) return true;
  const names = [friendlyName(object), `${kindName(object.kind)} ${object.name}.${object.namespace}`];
  return suppressions.some(
    ({ code, resource }) => code === type.code && names.some((name) => doesGlobMatch(resource, name)),
  );
}

/** `*` stands for any text, every other character for itself. Linear: no expression is made of the pattern. */
export function doesGlobMatch(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  if (!text.startsWith(first)) return false;
  if (rest.length === 0) return text === first;
  let at = first.length;
  const last = rest.pop() ?? '';
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}

function compareMessages(a: Message, b: Message): number {
  return (
    levels.indexOf(b.type.level) - levels.indexOf(a.type.level) ||
    compare(a.type.code, b.type.code) ||
    compare(friendlyName(a.object), friendlyName(b.object)) ||
    compare(a.position?.file ?? '', b.position?.file ?? '') ||
    (a.position?.line ?? 0) - (b.position?.line ?? 0) ||
    compare(a.text, b.text)
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
