// The rows of a hop: connection, listener, chain, rules, settings, endpoints.
import { relative } from 'node:path';
import type { Colour, Row, Style } from './layout.ts';
import type { ClauseResult, EndpointTrace, Hop, HttpTrace, RuleTrace, Setting, SourceRef } from './trace.ts';
import { countText } from './words.ts';

export interface PrintStyle extends Style {
  /** Files below it are shown relative to it. */
  readonly directory: string;
  /** Everything that is left out as usual: rules that were not reached, defaults. */
  readonly verbose: boolean;
}

/** Missed rules that are shown before the one that won. */
const rulesMax = 20;
const endpointsMax = 12;

export function connectionRows({ connection, listener, chain, side }: Hop, style: PrintStyle): Row[] {
  const rows: Row[] = [];
  // What the sender's cluster says of it stands there already.
  const spoken = side === 'inbound' ? connection.transport.replace(/ \(.*$/, '') : connection.transport;
  const transport = spoken === 'plain text' && side !== 'inbound' ? '' : `, ${spoken}`;
  const why = connection.why === '' || side === 'inbound' ? '' : ` (${connection.why})`;
  rows.push({ label: 'connection', text: `to ${connection.destination}${why}${transport}`, place: '' });
  if (listener !== null)
    rows.push({
      label: 'listener',
      text: `${listener.name}: ${listener.why}`,
      place: side === 'inbound' ? '' : placesText(listener.sources, style),
    });
  if (chain !== null) {
    const name = chain.name === '' ? chain.at.replace(/^filterChains/, '') : chain.name;
    const ends = chain.transport === 'takes bytes as they are' ? '' : `; ends ${chain.transport}`;
    rows.push({
      label: 'chain',
      text: `${name} (${chain.filter.toUpperCase()}): ${chain.why}${ends}`,
      place: side === 'inbound' ? '' : placesText(chain.sources, style),
    });
  }
  return rows;
}

export function httpRows(http: HttpTrace, hop: Hop, style: PrintStyle): Row[] {
  const { virtualHost, action } = http;
  const rows: Row[] = [];
  if (virtualHost !== null && hop.side !== 'inbound') {
    const text = `${http.authority} is for ${virtualHost.name}${virtualHost.domain === http.authority ? '' : ` (domain ${virtualHost.domain})`}, in routes ${http.routeConfiguration}`;
    rows.push({ label: 'host', text, place: placesText(virtualHost.sources, style) });
  } else if (virtualHost === null) {
    rows.push({
      label: 'host',
      mark: '✘',
      markColour: 'red',
      text: `${http.authority}: none of the virtual hosts in routes ${http.routeConfiguration}`,
      place: '',
    });
  }
  rows.push(...ruleRows(http.rules, style));
  if (action === null) return rows;
  if (action.kind !== 'forward') {
    const where = action.location === null ? '' : ` to ${action.location}`;
    const body = action.body === null || action.body === '' ? '' : `: ${JSON.stringify(action.body.trim())}`;
    rows.push({ label: 'answer', text: `${action.status ?? ''} ${action.kind}${where}${body}`, place: '' });
  }
  return [...rows, ...settingRows(action.settings, style)];
}

function ruleRows(rules: readonly RuleTrace[], style: PrintStyle): Row[] {
  const tried = rules.filter(({ result }) => result !== 'not reached');
  const rest = rules.filter(({ result }) => result === 'not reached');
  const missed = tried.filter(({ result }) => result !== 'matched');
  const hidden = style.verbose ? 0 : Math.max(0, missed.length - rulesMax);
  const shown = tried.slice(hidden);
  const rows: Row[] = [];
  if (hidden > 0)
    rows.push({
      label: 'rules',
      mark: '✘',
      text: `${hidden} more above, all missed (--verbose shows them)`,
      place: '',
    });
  for (const rule of shown) rows.push(ruleRow(rule, style));
  if (rest.length > 0 && style.verbose) for (const rule of rest) rows.push(ruleRow(rule, style));
  else if (rest.length > 0)
    rows.push({
      label: 'rules',
      mark: '·',
      text: `${countText(rest.length, 'rule')} below, not reached`,
      colour: 'dim',
      place: '',
    });
  return rows;
}

function ruleRow(rule: RuleTrace, style: PrintStyle): Row {
  const place = placesText(rule.sources, style);
  const base = { label: 'rules', place };
  const name = rule.name === '' || rule.name === 'default' ? '' : ` (${rule.name})`;
  switch (rule.result) {
    case 'matched':
      return {
        ...base,
        mark: '✔',
        markColour: 'green',
        text: `${rule.index}: ${rule.clauses.map(wantedText).join(', ')}${name}`,
      };
    case 'missed':
      return {
        ...base,
        mark: '✘',
        markColour: 'red',
        text: `${rule.index}: ${
          rule.clauses
            .filter(({ matched }) => !matched)
            .map((clause) => `${wantedText(clause)}: ${clause.found}`)
            .join('; ') || rule.reason
        }${name}`,
      };
    case 'not reached':
      return {
        ...base,
        mark: '·',
        colour: 'dim',
        text: `${rule.index}: ${rule.clauses.map(wantedText).join(', ')}${name}`,
      };
    case 'unknown':
    default:
      return {
        ...base,
        mark: '?',
        markColour: 'yellow',
        text: `${rule.index}: cannot be judged here: ${rule.reason}`,
      };
  }
}

function wantedText({ wanted }: ClauseResult): string {
  return wanted;
}

/** What is so without anybody's word is left out, unless everything is to be shown. */
export function settingRows(settings: readonly Setting[], style: PrintStyle): Row[] {
  return settings
    .filter(({ usual }) => style.verbose || !usual)
    .map(({ label, text, sources }) => ({ label, text, place: placesText(sources, style) }));
}

const endpointMarks: Readonly<Record<EndpointTrace['state'], readonly [string, Colour]>> = {
  in: ['✔', 'green'],
  standby: ['○', 'yellow'],
  out: ['✘', 'red'],
};

export function endpointRows(endpoints: readonly EndpointTrace[]): Row[] {
  const used = endpoints.filter(({ state }) => state === 'in');
  const same = new Set(used.map(({ weight }) => weight)).size < 2;
  const transports = new Set(used.map(({ transport }) => transport));
  const [common] = transports.size === 1 ? transports : [];
  const speaks: Row[] =
    common === undefined || common === 'plain text' ? [] : [{ label: 'speaks', text: common, place: '' }];
  const rows = endpoints.slice(0, endpointsMax).map((endpoint): Row => {
    const { state, address, pod, reason, transport, locality, weight } = endpoint;
    const [mark, markColour] = endpointMarks[state];
    const more = [
      locality,
      same || state !== 'in' ? '' : `weight ${weight}`,
      transport === common || transport === '' ? '' : transport,
      reason,
    ].filter((text) => text !== '');
    const text = `${address}${pod === '' ? '' : ` ${pod}`}${more.length === 0 ? '' : `: ${more.join(', ')}`}`;
    return { label: 'endpoints', mark, markColour, text, place: '' };
  });
  if (endpoints.length > endpointsMax)
    rows.push({ label: 'endpoints', mark: '·', text: `${endpoints.length - endpointsMax} more`, place: '' });
  return [...speaks, ...rows];
}

export function placesText(sources: readonly SourceRef[], style: PrintStyle): string {
  return [...new Set(sources.map((source) => placeText(source, style)))].join(', ');
}

function placeText({ kind, namespace, name, file, line }: SourceRef, { directory }: PrintStyle): string {
  if (file === '' || file.startsWith('<'))
    return `${kind} ${namespace}/${name}${file === '' ? '' : ` ${file}`}`;
  const shown = relative(directory, file);
  return `${shown.startsWith('..') || shown === '' ? file : shown}:${line}`;
}
