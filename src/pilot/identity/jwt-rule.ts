// The environment variable JWT_RULE: whose tokens the control plane believes. It is a JWTRule of Istio's in JSON, as
// istiod reads it, names in either spelling (`jwksUri`, `jwks_uri`).
import { UserError } from '../../base/user-error.ts';
import { checkedUrl } from './guarded-get.ts';
import { readKeySet } from './key-set.ts';

export interface JwtRule {
  readonly issuer: string;
  /** One of them must be among a token's. */
  readonly audiences: readonly string[];
  readonly keys:
    | { readonly kind: 'inline'; readonly jwks: string }
    | { readonly kind: 'remote'; readonly uri: string }
    /** Where the issuer's OpenID discovery document says. */
    | { readonly kind: 'discovery' };
}

/** The audience of tokens that Istio's agents bring. */
export const defaultAudience = 'istio-ca';

/** Throws UserError that names the field, what it is and what would be accepted. */
export function readJwtRule(text: string): JwtRule {
  const rule = parse(text);
  for (const name of Object.keys(rule))
    if (!fields.has(name))
      throw wrong(name, 'is not supported; accepted are issuer, audiences, jwks and jwksUri');
  const issuer = textOf(rule, 'issuer', 'issuer');
  if (issuer === undefined) throw wrong('issuer', 'is missing: the `iss` of the tokens');
  const jwks = textOf(rule, 'jwks', 'jwks');
  const uri = textOf(rule, 'jwksUri', 'jwks_uri');
  if (jwks !== undefined && uri !== undefined) throw wrong('jwks', 'and jwksUri: give one of them');
  if (jwks !== undefined) guard('jwks', () => readKeySet(jwks));
  else if (uri !== undefined) guard('jwksUri', () => checkedUrl(uri));
  else guard('issuer', () => checkedUrl(issuer));
  return {
    issuer,
    audiences: audiencesOf(rule['audiences']),
    keys:
      jwks !== undefined
        ? { kind: 'inline', jwks }
        : uri === undefined
          ? { kind: 'discovery' }
          : { kind: 'remote', uri },
  };
}

const fields: ReadonlySet<string> = new Set(['issuer', 'audiences', 'jwks', 'jwksUri', 'jwks_uri']);

function parse(text: string): Readonly<Record<string, unknown>> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new UserError('JWT_RULE is not JSON, such as {"issuer": "https://...", "jwksUri": "https://..."}');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new UserError('JWT_RULE must be one JSON object, such as {"issuer": "https://..."}');
  return parsed as Readonly<Record<string, unknown>>;
}

function textOf(rule: Readonly<Record<string, unknown>>, name: string, other: string): string | undefined {
  const value = rule[name] ?? rule[other];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string') throw wrong(name, 'must be a text');
  return value;
}

function audiencesOf(value: unknown): readonly string[] {
  if (value === undefined || value === null) return [defaultAudience];
  if (
    !Array.isArray(value) ||
    !value.every((each): each is string => typeof each === 'string' && each !== '')
  )
    throw wrong('audiences', 'must be a list of texts');
  return value.length === 0 ? [defaultAudience] : value;
}

function guard(field: string, check: () => unknown): void {
  try {
    check();
  } catch (error) {
    throw wrong(field, error instanceof Error ? error.message : String(error));
  }
}

function wrong(field: string, what: string): UserError {
  return new UserError(`JWT_RULE: ${field}: ${what}`);
}
