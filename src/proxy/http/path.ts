// What a path is made into before anyone looks at it, so that routes, policies and upstreams see the same one.

/** `path_with_escaped_slashes_action`. */
export type EscapedSlashes = 'keep' | 'reject' | 'unescape-redirect' | 'unescape-forward';

export interface PathOptions {
  /** RFC 3986 normalization (dot segments, decoding of unreserved characters, `\` to `/`). */
  readonly normalize: boolean;
  readonly mergeSlashes: boolean;
  readonly escapedSlashes: EscapedSlashes;
}

export type PathResult =
  | { readonly kind: 'same' }
  | { readonly kind: 'changed'; readonly path: string }
  | { readonly kind: 'redirect'; readonly path: string }
  | { readonly kind: 'reject' };

const same: PathResult = { kind: 'same' };

/** What no path holds that is normal already: a quick look before anything is taken apart. */
const needsWork = /[%\\"<>^`{|}]|\/\.|\/\//;

/** Applies the options to the path before the query. Rejects what cannot be normalized (`..` above the root). */
export function preparePath(target: string, options: PathOptions): PathResult {
  if (!needsWork.test(target)) return same;
  const question = target.indexOf('?');
  const query = question < 0 ? '' : target.slice(question);
  const original = question < 0 ? target : target.slice(0, question);
  let path = original;
  let redirect = false;
  if (options.escapedSlashes !== 'keep' && /%2f|%5c/i.test(path)) {
    if (options.escapedSlashes === 'reject') return { kind: 'reject' };
    path = path.replaceAll(/%2f/gi, '/').replaceAll(/%5c/gi, '\\');
    redirect = options.escapedSlashes === 'unescape-redirect';
  }
  if (options.normalize) {
    const normal = normalizePath(path);
    if (normal === undefined) return { kind: 'reject' };
    path = normal;
  }
  if (options.mergeSlashes) path = path.replaceAll(/\/{2,}/g, '/');
  if (redirect) return { kind: 'redirect', path: path + query };
  return path === original ? same : { kind: 'changed', path: path + query };
}

/** As Chromium's URL canonicalizer, which Envoy uses; undefined if there is no normal form. */
function normalizePath(path: string): string | undefined {
  if (!path.startsWith('/')) return undefined;
  let bad = false;
  // Decoded once: unreserved characters stand for themselves, others keep their escape.
  const decoded = path
    .replaceAll('\\', '/')
    .replaceAll(/%([0-9a-f]{2})?/gi, (escape, hex: string | undefined) => {
      if (hex === undefined) return escape;
      const code = Number.parseInt(hex, 16);
      if (code === 0) bad = true;
      const character = String.fromCharCode(code);
      return /[A-Za-z0-9\-._~]/.test(character) ? character : escape;
    });
  if (bad) return undefined;
  const escaped = decoded.replaceAll(
    /["<>^`{|}]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  const out: string[] = [];
  const segments = escaped.slice(1).split('/');
  for (const [index, segment] of segments.entries()) {
    const last = index === segments.length - 1;
    if (segment === '.') {
      if (last) out.push('');
    } else if (segment === '..') {
      out.pop();
      if (last) out.push('');
    } else out.push(segment);
  }
  return `/${out.join('/')}`;
}
