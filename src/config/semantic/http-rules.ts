// Rules of HTTP: header names and values, regular expressions, string matches, statuses.
import { RE2JS } from 're2js';
import type { Checker } from './checker.ts';

export interface StringMatch {
  readonly exact?: string | undefined;
  readonly prefix?: string | undefined;
  readonly regex?: string | undefined;
}

export interface HeaderOperations {
  readonly add?: Readonly<Record<string, string>> | undefined;
  readonly set?: Readonly<Record<string, string>> | undefined;
  readonly remove?: readonly string[] | undefined;
}

/** Longer patterns are refused (Istio does the same, for Envoy's bound on their compiled size). */
const regexLengthMax = 1024;

/** RE2's language, and nothing that JavaScript's RegExp would understand otherwise. */
export function checkRegex(pattern: string, checker: Checker): void {
  if (pattern === '') checker.error('the regex should not be empty');
  else if (pattern.length > regexLengthMax)
    checker.error(`the regex is too large: ${pattern.length} characters, at most ${regexLengthMax}`);
  else {
    try {
      RE2JS.compile(pattern);
    } catch (error) {
      const reason = (error instanceof Error ? error.message : String(error)).replace(
        'error parsing regexp: ',
        '',
      );
      checker.error(
        `the regex does not compile: ${reason}; RE2's syntax is accepted (https://github.com/google/re2/wiki/Syntax)`,
      );
    }
  }
}

/** One of exact, prefix and regex; empty prefixes match everything and so are taken for mistakes. */
export function checkStringMatch(
  match: StringMatch | undefined,
  checker: Checker,
  mayPrefixBeEmpty = false,
): void {
  if (match === undefined) return;
  checkOneOf(match, ['exact', 'prefix', 'regex'], checker);
  if (match.prefix === '' && !mayPrefixBeEmpty) checker.at('prefix').error('the prefix should not be empty');
  if (match.regex !== undefined) checkRegex(match.regex, checker.at('regex'));
}

/** Complains if more than one of these fields is set (a `oneof` of the API). */
export function checkOneOf(value: object, fields: readonly string[], checker: Checker): void {
  const given = fields.filter((field) => Object.hasOwn(value, field));
  if (given.length > 1)
    checker.error(`only one of ${fields.join(', ')} can be set, not ${given.join(' and ')}`);
}

/** RFC 7230's tokens. */
export function isHeaderName(name: string): boolean {
  return /^[!#$%&'*+\-.^_`|~A-Za-z0-9]+$/.test(name);
}

/** A header by which a request is matched: pseudo headers and JWT claims are names, too. */
export function checkMatchHeaderName(name: string, checker: Checker): void {
  if (name === '') checker.error('the header name cannot be empty');
  else if (!isJwtClaim(name) && !pseudoHeaders.has(name) && !isHeaderName(name))
    checker.error(`header name "${name}" is not a valid header name`);
}

/** `@request.auth.claims.sub` or `@request.auth.claims[sub]`. */
export function isJwtClaim(name: string): boolean {
  return /^@request\.auth\.claims[.[]/i.test(name);
}

export function isAuthority(name: string): boolean {
  return /^(:authority|host)$/i.test(name);
}

/** Headers added, set and removed; only requests may set the authority. */
export function checkHeaderOperations(
  operations: HeaderOperations | undefined,
  isRequest: boolean,
  checker: Checker,
): void {
  for (const field of ['add', 'set'] as const) {
    for (const [name, value] of Object.entries(operations?.[field] ?? {})) {
      const place = checker.at(field, name);
      if (!isRequest || !isAuthority(name)) checkOperationName(name, place);
      checkHeaderValue(value, place);
    }
  }
  for (const [index, name] of (operations?.remove ?? []).entries())
    checkOperationName(name, checker.at('remove', index));
}

/** No control characters; `%` starts a command (`%HOSTNAME%`) or is doubled. */
function checkHeaderValue(value: string, checker: Checker): void {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u0008\u000A-\u001F\u007F]/.test(value))
    checker.error('a header value cannot hold control characters');
  else if (!areCommandsClosed(value))
    checker.error(
      `header value ${JSON.stringify(value)}: a % is not closed; write %% for the character itself`,
    );
}

/** 200 to 599. */
export function checkHttpStatus(status: number | undefined, checker: Checker): void {
  if (status === undefined || status < 200 || status > 599)
    checker.error(`HTTP status ${status ?? 0} is not in range 200-599`);
}

const pseudoHeaders = new Set([':method', ':scheme', ':authority', ':path', ':status']);

function checkOperationName(name: string, checker: Checker): void {
  if (name === '') checker.error('the header name cannot be empty');
  else if (name.toLowerCase() === 'host') checker.error('invalid header "host": cannot set Host header');
  else if (name.startsWith(':')) checker.error(`invalid header "${name}": header cannot have ":" prefix`);
  else if (!isHeaderName(name)) checker.error(`header name "${name}" is not a valid header name`);
}

/** Whether each `%` is doubled or part of `%NAME%` or `%NAME(arguments)%`. */
function areCommandsClosed(value: string): boolean {
  let at = value.indexOf('%');
  while (at >= 0) {
    let end = at + 1;
    if (value[end] !== '%') {
      const open = value.slice(end).search(/[%(]/);
      if (open < 0) return false;
      end += open;
      if (value[end] === '(') {
        end = endOfArguments(value, end);
        while (value[end] === ' ') end++;
        if (value[end] !== '%') return false;
      }
    }
    at = value.indexOf('%', end + 1);
  }
  return true;
}

/** The place after the `)` that closes the `(` at `start`; the text's length if there is none. */
function endOfArguments(value: string, start: number): number {
  for (let at = start + 1; at < value.length; at++) {
    if (value[at] === '\\') at++;
    else if (value[at] === ')') return at + 1;
  }
  return value.length;
}
