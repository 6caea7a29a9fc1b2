// What a connection manager makes of a request's host and path before it looks for a route. Pure, so that
// `explain` and the data path share it.
import type { HttpConnectionManager } from '../../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { HttpConnectionManager_PathWithEscapedSlashesAction as SlashesAction } from '../../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { unknownEnum } from '../config-error.ts';
import { withoutPort } from '../router/match.ts';
import type { EscapedSlashes, PathOptions } from './path.ts';

export interface HostOptions {
  readonly stripPort: 'never' | 'matching' | 'any';
  readonly stripTrailingHostDot: boolean;
}

export function hostOptionsOf(config: HttpConnectionManager): HostOptions {
  const any = config.stripPortMode.case === 'stripAnyHostPort' && config.stripPortMode.value;
  return {
    stripPort: any ? 'any' : config.stripMatchingHostPort ? 'matching' : 'never',
    stripTrailingHostDot: config.stripTrailingHostDot,
  };
}

/** Throws ConfigError. */
export function pathOptionsOf(config: HttpConnectionManager): PathOptions {
  return {
    normalize: config.normalizePath ?? false,
    mergeSlashes: config.mergeSlashes,
    escapedSlashes: escapedSlashesOf(config),
  };
}

/** The host that routes see; `localPort` is that of the connection. */
export function strippedHost(authority: string, options: HostOptions, localPort: number): string {
  let host = authority;
  if (options.stripTrailingHostDot && host.includes('.')) {
    const plain = withoutPort(host);
    if (plain.endsWith('.')) host = plain.slice(0, -1) + host.slice(plain.length);
  }
  if (options.stripPort !== 'never') {
    const plain = withoutPort(host);
    const port = host.slice(plain.length + 1);
    if (plain !== host && (options.stripPort === 'any' || port === String(localPort))) host = plain;
  }
  return host;
}

function escapedSlashesOf(config: HttpConnectionManager): EscapedSlashes {
  switch (config.pathWithEscapedSlashesAction) {
    case SlashesAction.IMPLEMENTATION_SPECIFIC_DEFAULT:
    case SlashesAction.KEEP_UNCHANGED:
      return 'keep';
    case SlashesAction.REJECT_REQUEST:
      return 'reject';
    case SlashesAction.UNESCAPE_AND_REDIRECT:
      return 'unescape-redirect';
    case SlashesAction.UNESCAPE_AND_FORWARD:
      return 'unescape-forward';
    default:
      throw unknownEnum('path_with_escaped_slashes_action', config.pathWithEscapedSlashesAction);
  }
}
