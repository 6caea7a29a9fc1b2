// Headers to add and remove on a request or response, in Envoy's order.
import type { HeaderValueOption } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import { HeaderValueOption_HeaderAppendAction as AppendAction } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import { ConfigError, unknownEnum } from '../config-error.ts';
import type { HeaderBlock } from '../http/header-block.ts';
import type { StreamInfo } from '../stream-info.ts';
import type { ValueFormat } from './format.ts';
import { compileFormat } from './format.ts';

type AddKind = 'append' | 'add-if-absent' | 'overwrite-or-add' | 'overwrite';

interface Addition {
  /** Lower case. */
  readonly name: string;
  readonly value: string | ValueFormat;
  readonly kind: AddKind;
  readonly keepEmpty: boolean;
}

/** What one level (weighted cluster, route, virtual host, configuration) asks for. */
interface Level {
  readonly removals: readonly string[];
  readonly additions: readonly Addition[];
}

/** The levels of one route, in the order in which they are applied. */
export type HeaderMutations = readonly Level[];

/** Compiles one level; undefined if it does nothing. Throws ConfigError below `field`. */
export function compileHeaderMutations(
  add: readonly HeaderValueOption[],
  remove: readonly string[],
  field: string,
): HeaderMutations | undefined {
  if (add.length === 0 && remove.length === 0) return undefined;
  const removals = remove.map((name, index) => checkedName(name, `${field}_to_remove[${index}]`));
  const additions = add.map((option, index): Addition => {
    const path = `${field}_to_add[${index}].header`;
    const name = checkedName(option.header?.key ?? '', `${path}.key`);
    const text = option.header?.value ?? '';
    if (option.header !== undefined && option.header.rawValue.length > 0)
      throw new ConfigError(`${path}.raw_value`, 'is not supported; use value');
    for (let at = 0; at < text.length; at++) {
      if (isValueCharacter(text.charCodeAt(at))) continue;
      throw new ConfigError(`${path}.value`, 'holds a control character, or one beyond latin1');
    }
    return {
      name,
      value: compileFormat(text, `${path}.value`),
      kind: kindOf(option),
      keepEmpty: option.keepEmptyValue,
    };
  });
  return [{ removals, additions }];
}

/** The levels one after the other; undefined if all are. */
export function joinMutations(
  ...levels: readonly (HeaderMutations | undefined)[]
): HeaderMutations | undefined {
  const joined = levels.flatMap((level) => level ?? []);
  return joined.length === 0 ? undefined : joined;
}

/** Within a level: removals, then values are computed, then overwrites, then additions (Envoy's HeaderParser). */
export function applyMutations(mutations: HeaderMutations, headers: HeaderBlock, info: StreamInfo): void {
  for (const { removals, additions } of mutations) {
    for (const name of removals) headers.remove(name);
    if (additions.length === 0) continue;
    const added: string[] = [];
    const overwritten: string[] = [];
    for (const { name, value: format, kind, keepEmpty } of additions) {
      const value = typeof format === 'string' ? format : cleanValue(format(info));
      if (value === '' && !keepEmpty) continue;
      switch (kind) {
        case 'append':
          added.push(name, value);
          break;
        case 'add-if-absent':
          if (headers.get(name) === undefined) added.push(name, value);
          break;
        case 'overwrite-or-add':
          overwritten.push(name, value);
          break;
        case 'overwrite':
          if (headers.get(name) !== undefined) overwritten.push(name, value);
          break;
      }
    }
    for (let at = 0; at < overwritten.length; at += 2) headers.set(overwritten[at]!, overwritten[at + 1]!);
    for (let at = 0; at < added.length; at += 2) headers.add(added[at]!, added[at + 1]!);
  }
}

/** What an operator yields may come from a peer: it must not be able to start another line. */
function cleanValue(value: string): string {
  let out = '';
  let from = 0;
  for (let at = 0; at < value.length; at++) {
    if (isValueCharacter(value.charCodeAt(at))) continue;
    out += `${value.slice(from, at)}_`;
    from = at + 1;
  }
  return from === 0 ? value : out + value.slice(from);
}

/** HTAB, visible ASCII and SP, obs-text. */
function isValueCharacter(code: number): boolean {
  return (code >= 0x20 && code < 0x100 && code !== 0x7f) || code === 9;
}

function kindOf(option: HeaderValueOption): AddKind {
  if (option.append !== undefined) return option.append ? 'append' : 'overwrite-or-add';
  switch (option.appendAction) {
    case AppendAction.APPEND_IF_EXISTS_OR_ADD:
      return 'append';
    case AppendAction.ADD_IF_ABSENT:
      return 'add-if-absent';
    case AppendAction.OVERWRITE_IF_EXISTS_OR_ADD:
      return 'overwrite-or-add';
    case AppendAction.OVERWRITE_IF_EXISTS:
      return 'overwrite';
    default:
      throw unknownEnum('append_action', option.appendAction);
  }
}

/** Envoy refuses changes to pseudo headers and the host here; framing headers would make a message ambiguous. */
function checkedName(name: string, field: string): string {
  const lower = name.toLowerCase();
  if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(lower))
    throw new ConfigError(field, `${JSON.stringify(name)} is not a header name`);
  if (lower === 'host' || lower === 'transfer-encoding' || lower === 'content-length')
    throw new ConfigError(field, `${lower} may not be modified here`);
  return lower;
}
