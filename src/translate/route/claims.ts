// Matches on claims of a request's JSON Web Token: headers named `@request.auth.claims...` in a VirtualService.
import type { Message, MessageInitShape } from '@bufbuild/protobuf';
import type { MetadataMatcherSchema } from '../../api/gen/envoy/type/matcher/v3/metadata_pb.js';
import type { StringMatcherSchema } from '../../api/gen/envoy/type/matcher/v3/string_pb.js';
import type { ValueMatcherSchema } from '../../api/gen/envoy/type/matcher/v3/value_pb.js';

const claimsHeader = '@request.auth.claims';
/** Where the filter that checks tokens leaves what it has found. */
const jwtFilter = 'envoy.filters.http.jwt_authn';
const payload = 'payload';

export type MetadataMatcherInit = Exclude<MessageInitShape<typeof MetadataMatcherSchema>, Message>;

/**
 * The claim that a header of a match means, from the outermost to the innermost name: `@request.auth.claims.a.b`,
 * or `@request.auth.claims[a][b]` for names that hold dots. Undefined: it is a header.
 * Source: Istio `jwt.ToRoutingClaim`.
 */
export function routingClaim(headerName: string): readonly string[] | undefined {
  if (!headerName.toLowerCase().startsWith(claimsHeader)) return undefined;
  const rest = headerName.slice(claimsHeader.length);
  if (rest.length < 2) return undefined;
  if (rest.startsWith('.')) return rest.slice(1).split('.');
  if (rest.length > 2 && rest.startsWith('[') && rest.endsWith(']')) return rest.slice(1, -1).split('][');
  return undefined;
}

/** Met by a claim with such a value, and by one that is a list with such a value in it. Absent `match`: any text. */
export function claimMatcher(
  claim: readonly string[],
  match: MessageInitShape<typeof StringMatcherSchema> | undefined,
): MetadataMatcherInit {
  const value: MessageInitShape<typeof ValueMatcherSchema> = {
    matchPattern: {
      case: 'stringMatch',
      value: match ?? { matchPattern: { case: 'safeRegex', value: { regex: '.*' } } },
    },
  };
  const inList: MessageInitShape<typeof ValueMatcherSchema> = {
    matchPattern: { case: 'listMatch', value: { matchPattern: { case: 'oneOf', value } } },
  };
  return {
    filter: jwtFilter,
    path: [payload, ...claim].map((key) => ({ segment: { case: 'key' as const, value: key } })),
    value: { matchPattern: { case: 'orMatch', value: { valueMatchers: [inList, value] } } },
  };
}
