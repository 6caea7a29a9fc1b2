// What a proxy answers by itself: redirects and direct responses.
import type { Route } from '../api/gen/envoy/config/route/v3/route_components_pb.js';
import type { MatchInput } from '../proxy/matchers/input.ts';
import { compileClauses } from '../proxy/matchers/route.ts';
import { compileRedirect } from '../proxy/router/compile-action.ts';
import { redirectLocation } from '../proxy/router/match.ts';
import type { ActionTrace } from './trace.ts';

/** Throws ConfigError. */
export function localAnswer(route: Route, input: MatchInput): ActionTrace {
  const { action } = route;
  if (action.case === 'redirect') {
    const { path } = compileClauses(route.match!, 'match');
    const redirect = compileRedirect(action.value, path, 'redirect');
    return answered('redirect', { status: redirect.status, location: redirectLocation(redirect, input) });
  }
  if (action.case === 'directResponse') {
    const specifier = action.value.body?.specifier;
    const body = specifier?.case === 'inlineString' ? specifier.value : null;
    return answered('direct response', { status: action.value.status, body });
  }
  return answered('other', { status: 404 });
}

export function answered(
  kind: ActionTrace['kind'],
  part: Partial<Pick<ActionTrace, 'status' | 'location' | 'body'>>,
): ActionTrace {
  return {
    kind,
    authority: null,
    path: null,
    status: null,
    location: null,
    body: null,
    settings: [],
    ...part,
  };
}
