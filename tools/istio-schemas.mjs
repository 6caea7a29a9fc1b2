// Reads the structural schema of every Istio kind out of the type declarations that
// @kubernetes-models/istio generates from Istio's CRDs. That package publishes its schemas only as
// compiled validators, which do not know which fields exist; the declarations do.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A schema node. Fields of union alternatives (a CRD `oneOf`) are merged into one object, because
 * the alternatives of Istio's CRDs differ only in what they require.
 * @typedef {{ type: 'object', properties: Record<string, Schema>, required: string[], doc?: string }
 *   | { type: 'map', values: Schema, doc?: string } | { type: 'array', items: Schema, doc?: string }
 *   | { type: 'string' | 'number' | 'boolean' | 'int-or-string' | 'any', enum?: string[], doc?: string }} Schema
 */

const groups = ['networking.istio.io', 'security.istio.io', 'telemetry.istio.io', 'extensions.istio.io'];

/** Most stable first: the schema of a kind is read from the first of these that has it. */
const versions = ['v1', 'v1beta1', 'v1alpha3', 'v1alpha1'];

/** @returns {{ group: string, kind: string, versions: string[], spec: Schema }[]} sorted by group and kind */
export function readIstioSchemas(root) {
  const base = join(root, 'node_modules/@kubernetes-models/istio');
  const kinds = new Map();
  for (const group of groups) {
    for (const version of versions) {
      const dir = join(base, group, version);
      if (!existsSync(dir)) continue;
      for (const name of readdirSync(dir)) {
        if (!name.endsWith('.d.ts') || name === 'index.d.ts') continue;
        const kind = name.slice(0, -'.d.ts'.length);
        const known = kinds.get(`${group}/${kind}`);
        if (known !== undefined) {
          known.versions.push(version);
          continue;
        }
        const spec = parseInterface(readFileSync(join(dir, name), 'utf8'), `I${kind}`).properties.spec;
        if (spec === undefined) throw new Error(`${group}/${version} ${kind}: no spec in its declaration`);
        kinds.set(`${group}/${kind}`, { group, kind, versions: [version], spec });
      }
    }
  }
  return [...kinds.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, schema]) => schema);
}

/** TypeScript for the specs, one exported type a kind. */
export function istioTypes(schemas) {
  const lines = ['// Generated from @kubernetes-models/istio. Not edited, not committed.', ''];
  for (const { kind, spec } of schemas) lines.push(`export type ${kind}Spec = ${typeText(spec, '')};`, '');
  return lines.join('\n');
}

function typeText(schema, indent) {
  switch (schema.type) {
    case 'object': {
      const inner = `${indent}  `;
      const fields = Object.entries(schema.properties).map(([name, value]) => {
        const doc = value.doc === undefined ? '' : `${inner}/** ${value.doc.replaceAll('*/', '* /')} */\n`;
        return `${doc}${inner}readonly ${JSON.stringify(name)}?: ${typeText(value, inner)} | undefined;`;
      });
      return `{\n${fields.join('\n')}\n${indent}}`;
    }
    case 'map':
      return `{ readonly [key: string]: ${typeText(schema.values, indent)} }`;
    case 'array':
      return `ReadonlyArray<${typeText(schema.items, indent)}>`;
    case 'int-or-string':
      return 'number | string';
    case 'any':
      return 'unknown';
    default:
      return schema.enum === undefined
        ? schema.type
        : schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  }
}

function parseInterface(text, name) {
  const start = text.indexOf(`export interface ${name} {`);
  if (start < 0) throw new Error(`no interface ${name}`);
  const parser = new DeclarationParser(text, start + `export interface ${name} `.length);
  return parser.type();
}

/** A recursive-descent parser for the subset of TypeScript types that the package's generator emits. */
class DeclarationParser {
  constructor(text, at) {
    this.text = text;
    this.at = at;
  }

  type() {
    let left = this.intersection();
    while (this.take('|')) left = merge(left, this.intersection(), 'either');
    return left;
  }

  intersection() {
    let left = this.primary();
    while (this.take('&')) left = merge(left, this.primary(), 'both');
    return left;
  }

  primary() {
    this.skipSpace();
    if (this.take('(')) {
      const inner = this.type();
      this.expect(')');
      return inner;
    }
    if (this.text[this.at] === '{') return this.object();
    if (this.text[this.at] === '"') return { type: 'string', enum: [this.quoted()] };
    const word = /^[A-Za-z]+/.exec(this.text.slice(this.at, this.at + 40))?.[0] ?? '';
    this.at += word.length;
    switch (word) {
      case 'string':
      case 'number':
      case 'boolean':
        return { type: word };
      case 'null':
        return { type: 'null' };
      case 'IObjectMeta':
      case 'any':
      case 'unknown':
        return { type: 'any' };
      case 'Array': {
        this.expect('<');
        const items = this.type();
        this.expect('>');
        return { type: 'array', items };
      }
      case 'Exclude': {
        // How the generator writes "none of the alternatives": what is excluded are fields all the same.
        this.expect('<');
        const whole = this.type();
        this.expect(',');
        const excluded = this.type();
        this.expect('>');
        return merge(whole, excluded, 'either');
      }
      default:
        throw new Error(`unknown type ${JSON.stringify(word)} at: ${this.text.slice(this.at, this.at + 60)}`);
    }
  }

  object() {
    this.expect('{');
    const node = { type: 'object', properties: {}, required: [] };
    for (;;) {
      const doc = this.comment();
      if (this.take('}')) return node;
      if (this.take('[')) {
        this.at = this.text.indexOf(']', this.at) + 1;
        this.expect(':');
        const values = this.type();
        this.take(';');
        this.expect('}');
        return values.type === 'any' ? { type: 'any' } : { type: 'map', values };
      }
      const name = this.quoted();
      const optional = this.take('?');
      this.expect(':');
      const value = this.type();
      this.take(';');
      node.properties[name] = doc === undefined ? value : { ...value, doc };
      if (!optional) node.required.push(name);
    }
  }

  /** The first sentence of the comment before a field. */
  comment() {
    this.skipSpace();
    if (!this.text.startsWith('/**', this.at)) return undefined;
    const end = this.text.indexOf('*/', this.at);
    const body = this.text
      .slice(this.at + 3, end)
      .replaceAll(/\s*\n\s*\*\s?/g, ' ')
      .trim();
    this.at = end + 2;
    return /^.*?[.](?=\s|$)/.exec(body)?.[0] ?? body;
  }

  quoted() {
    this.expect('"');
    const end = this.text.indexOf('"', this.at);
    const value = this.text.slice(this.at, end);
    this.at = end + 1;
    return value;
  }

  take(token) {
    this.skipSpace();
    if (!this.text.startsWith(token, this.at)) return false;
    this.at += token.length;
    return true;
  }

  expect(token) {
    if (this.take(token)) return;
    throw new Error(`expected ${token} at: ${this.text.slice(this.at, this.at + 60)}`);
  }

  skipSpace() {
    while (/\s/.test(this.text[this.at] ?? '')) this.at += 1;
  }
}

/** `both`: an intersection, whose required fields add up. `either`: a union, which requires only what all do. */
function merge(a, b, how) {
  if (a.type === 'null') return b;
  if (b.type === 'null') return a;
  if (a.type === 'object' && b.type === 'object') {
    const properties = { ...a.properties };
    for (const [name, value] of Object.entries(b.properties)) {
      const known = properties[name];
      properties[name] =
        known === undefined || known.type === 'any'
          ? value
          : value.type === 'any'
            ? known
            : merge(known, value, how);
    }
    const required =
      how === 'both'
        ? [...new Set([...a.required, ...b.required])]
        : a.required.filter((name) => b.required.includes(name));
    return { ...a, properties, required };
  }
  if (a.type === 'array' && b.type === 'array') return { ...a, items: merge(a.items, b.items, how) };
  if (a.enum !== undefined && b.enum !== undefined)
    return { ...a, enum: [...new Set([...a.enum, ...b.enum])] };
  if (a.type === b.type) return a;
  if (isScalar(a) && isScalar(b)) return { ...a, type: 'int-or-string' };
  return a.type === 'any' ? b : a;
}

function isScalar(schema) {
  return schema.type === 'string' || schema.type === 'number';
}
