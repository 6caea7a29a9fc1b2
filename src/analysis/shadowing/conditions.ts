// An HTTP match as conditions on a request, and whether one set of conditions follows from another.
import type { VirtualServiceSpec } from '../../api/gen/istio-types.js';
import type { TextMatch } from './text-match.ts';
import { takeNothingTogether, takesAll } from './text-match.ts';

type HttpRule = NonNullable<VirtualServiceSpec['http']>[number];
export type HttpMatch = NonNullable<HttpRule['match']>[number];

interface StringMatch {
  readonly exact?: string | undefined;
  readonly prefix?: string | undefined;
  readonly regex?: string | undefined;
}

/** Something that is looked at must be there with a text, or (`isNegated`) must not be so. */
export interface Condition {
  /** `uri`, `header end-user`, `query q`. */
  readonly subject: string;
  readonly text: TextMatch;
  readonly isNegated: boolean;
}

/** Fields that say where a match applies (applicability.ts) or are names. */
const otherFields: ReadonlySet<string> = new Set([
  'gateways',
  'ignoreUriCase',
  'name',
  'port',
  'sourceLabels',
  'sourceNamespace',
  'statPrefix',
]);

/** All conditions of a match; undefined where one of them is not understood. */
export function conditionsOf(match: HttpMatch): readonly Condition[] | undefined {
  // Prefixes are compared with the query, other paths without.
  if (/[?#]/.test(match.uri?.exact ?? match.uri?.prefix ?? '')) return undefined;
  const conditions: Condition[] = [];
  const add = (subject: string, text: TextMatch, isNegated = false): void =>
    void conditions.push({ subject, text, isNegated });
  for (const [field, value] of Object.entries(match)) {
    switch (field) {
      case 'uri':
        add('uri', pathMatch(value as StringMatch, match.ignoreUriCase === true));
        break;
      case 'method':
      case 'authority':
      case 'scheme':
        add(`header :${field}`, textMatch(value as StringMatch));
        break;
      case 'headers':
        for (const [name, one] of Object.entries(value as Record<string, StringMatch>))
          add(`header ${name.toLowerCase()}`, textMatch(one));
        break;
      case 'withoutHeaders':
        for (const [name, one] of Object.entries(value as Record<string, StringMatch>))
          add(`header ${name.toLowerCase()}`, textMatch(one), true);
        break;
      case 'queryParams':
        for (const [name, one] of Object.entries(value as Record<string, StringMatch>))
          add(`query ${name}`, textMatch(one));
        break;
      default:
        if (!otherFields.has(field)) return undefined;
    }
  }
  if (match.uri === undefined) add('uri', anyPath);
  return conditions;
}

/** Whether whatever meets all of `given` meets `wanted`, too. False also where it cannot be told. */
export function follows(wanted: Condition, given: readonly Condition[]): boolean {
  const about = given.filter(({ subject }) => subject === wanted.subject);
  if (!wanted.isNegated)
    return about.some(({ isNegated, text }) => !isNegated && takesAll(wanted.text, text));
  // Only what is not there at all is not there with any text.
  if (wanted.text.kind === 'any')
    return about.some(({ isNegated, text }) => isNegated && text.kind === 'any');
  // A header that is not there counts as an empty one.
  const takesEmpty = !takeNothingTogether(wanted.text, { kind: 'exact', text: '', ignoreCase: false });
  // A claim may hold several texts at once.
  const isOne = !wanted.subject.startsWith('header @');
  return about.some(({ isNegated, text }) => {
    if (!isNegated) return isOne && takeNothingTogether(wanted.text, text);
    return text.kind === 'any' ? !takesEmpty : takesAll(text, wanted.text);
  });
}

/**
 * Whether nothing but a path is asked for, and any will do: what is moved behind all others where VirtualServices
 * are joined. Source: Istio `IsCatchAllRoute`.
 */
export function isCatchAll(conditions: readonly Condition[]): boolean {
  const [first, ...more] = conditions;
  if (first?.subject !== 'uri' || more.length > 0) return false;
  const { text } = first;
  return (text.kind === 'prefix' && text.text === '/') || (text.kind === 'regex' && text.text === '.*');
}

/** `/` and all below it: what a match without a path takes. */
const anyPath: TextMatch = { kind: 'prefix', text: '/', ignoreCase: false };

function pathMatch({ exact, prefix, regex }: StringMatch, ignoreCase: boolean): TextMatch {
  if (exact !== undefined) return { kind: 'exact', text: exact, ignoreCase };
  if (prefix !== undefined) return { kind: 'prefix', text: prefix, ignoreCase };
  return regex === undefined ? anyPath : { kind: 'regex', text: regex };
}

/** Nothing, an empty prefix and a lone star mean presence. */
function textMatch({ exact, prefix, regex }: StringMatch): TextMatch {
  if (exact !== undefined) return { kind: 'exact', text: exact, ignoreCase: false };
  if (prefix !== undefined)
    return prefix === '' ? { kind: 'any' } : { kind: 'prefix', text: prefix, ignoreCase: false };
  return regex === undefined || regex === '*' ? { kind: 'any' } : { kind: 'regex', text: regex };
}
