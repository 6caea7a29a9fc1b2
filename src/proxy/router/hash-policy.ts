// Which key of a request consistent balancers place it by: header, cookie, source address, query parameter. Source:
// Envoy `HashPolicyImpl`.
import type {
  RouteAction_HashPolicy,
  RouteAction_HashPolicy_Cookie,
} from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { RouteAction_HashPolicy_HeaderSchema } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { ConfigError } from '../config-error.ts';
import type { HttpStream } from '../http/stream.ts';
import { queryParameter } from '../matchers/query.ts';
import { refuseFields } from '../refuse-fields.ts';
import { rotate, xxhash64 } from '../upstream/xxhash64.ts';

/** A cookie that the response is to set, so that the client's next request has a key. */
export type SetCookie = (header: string) => void;

/** Undefined: the request has nothing that any policy asks for. */
export type HashPolicy = (stream: HttpStream, setCookie: SetCookie) => bigint | undefined;

type Part = HashPolicy;

/** Undefined without policies. Throws ConfigError. */
export function compileHashPolicy(
  policies: readonly RouteAction_HashPolicy[],
  field: string,
): HashPolicy | undefined {
  if (policies.length === 0) return undefined;
  const parts = policies.map((policy, index) => ({
    terminal: policy.terminal,
    part: compilePart(policy, `${field}[${index}]`),
  }));
  return (stream, setCookie) => {
    let hash: bigint | undefined;
    for (const { part, terminal } of parts) {
      const next = part(stream, setCookie);
      // Rotated, so that two equal keys do not cancel one another out.
      if (next !== undefined) hash = (hash === undefined ? 0n : rotate(hash, 1n)) ^ next;
      if (terminal && hash !== undefined) break;
    }
    return hash;
  };
}

function compilePart({ policySpecifier }: RouteAction_HashPolicy, field: string): Part {
  switch (policySpecifier.case) {
    case 'header': {
      refuseFields(
        RouteAction_HashPolicy_HeaderSchema,
        policySpecifier.value,
        `${field}.header`,
        new Set(['header_name']),
      );
      const name = policySpecifier.value.headerName.toLowerCase();
      return ({ headers, authority, path, method }) => {
        const pseudo: Readonly<Record<string, string>> = {
          ':authority': authority,
          ':path': path,
          ':method': method,
        };
        const value = pseudo[name] ?? headers.get(name);
        return value === undefined ? undefined : xxhash64(value);
      };
    }
    case 'cookie':
      return cookie(policySpecifier.value);
    case 'connectionProperties': {
      const { sourceIp } = policySpecifier.value;
      return ({ info }) => {
        const address = info.downstreamRemoteAddress?.address;
        return sourceIp && address !== undefined ? xxhash64(address) : undefined;
      };
    }
    case 'queryParameter': {
      const { name } = policySpecifier.value;
      return ({ path }) => {
        const value = queryParameter(path, name);
        return value === undefined ? undefined : xxhash64(value);
      };
    }
    case 'filterState':
    case undefined:
    default:
      throw new ConfigError(field, 'header, cookie, connection_properties and query_parameter are supported');
  }
}

function cookie({ name, ttl, path, attributes }: RouteAction_HashPolicy_Cookie): Part {
  const maxAge = ttl === undefined || ttl.seconds === 0n ? '' : `; Max-Age=${ttl.seconds}`;
  const further = attributes
    .map((each) => `; ${each.name}${each.value === '' ? '' : `=${each.value}`}`)
    .join('');
  const rest = `${maxAge}${path === '' ? '' : `; Path=${path}`}${further}; HttpOnly`;
  return (stream, setCookie) => {
    const sent = cookieValue(stream.headers.get('cookie') ?? '', name);
    if (sent !== undefined) return xxhash64(sent);
    if (ttl === undefined) return undefined;
    const { info } = stream;
    const made = xxhash64(
      `${info.downstreamRemoteAddress?.text ?? ''}${info.downstreamLocalAddress?.text ?? ''}`,
    );
    const value = made.toString(16).padStart(16, '0');
    setCookie(`${name}="${value}"${rest}`);
    return xxhash64(value);
  };
}

/** Without the quotes around it. */
function cookieValue(header: string, name: string): string | undefined {
  for (const pair of header.split(/[;,]/)) {
    const equals = pair.indexOf('=');
    if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
    return pair
      .slice(equals + 1)
      .trim()
      .replace(/^"(.*)"$/, '$1');
  }
  return undefined;
}
