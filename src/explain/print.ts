// A trace for people: what comes of the request first, then hop by hop why.
import { relative } from 'node:path';
import { parseClusterName } from '../model/cluster-name.ts';
import type { Colour, Row, Style } from './layout.ts';
import { layOut, paint, wrap } from './layout.ts';
import { isPassthrough } from './target-stage.ts';
import type {
  Candidate,
  ClauseResult,
  EndpointTrace,
  Failure,
  Hop,
  HttpTrace,
  Outcome,
  RuleTrace,
  Setting,
  SourceRef,
  Target,
  Trace,
} from './trace.ts';
import { countText, shareText } from './words.ts';

export interface PrintStyle extends Style {
  /** Files below it are shown relative to it. */
  readonly directory: string;
  /** Everything that is left out as usual: rules that were not reached, defaults. */
  readonly verbose: boolean;
}

/** Missed rules that are shown before the one that won. */
const rulesMax = 20;
const endpointsMax = 12;
const step = 2;

export function printTrace(trace: Trace, style: PrintStyle): string {
  const { request, outcome } = trace;
  const head = `${request.tls === null || request.url.startsWith('https') ? request.method : 'connection'} ${request.url}`;
  const lines = [
    `${paint(style, 'bold', head)} from ${paint(style, 'bold', request.from)}`,
    ...headerLines(trace, style),
    '',
    ...outcomeLines(outcome, style),
    ...hopLines(trace.hop, 0, style, []),
  ];
  return `${lines.join('\n')}\n`;
}

function headerLines({ request }: Trace, style: PrintStyle): string[] {
  const texts = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`);
  const host = new URL(request.url.replace(/^\w+:/, 'http:')).host;
  if (request.authority !== host) texts.unshift(`host: ${request.authority}`);
  return texts.flatMap((text) => wrap(`  ${text}`, style.width));
}

const marks: Readonly<Record<Outcome['kind'], readonly [string, Colour]>> = {
  routed: ['✔', 'green'],
  answered: ['✔', 'green'],
  passthrough: ['!', 'yellow'],
  partly: ['✘', 'red'],
  failed: ['✘', 'red'],
};

function outcomeLines(outcome: Outcome, style: PrintStyle): string[] {
  const [mark, colour] = marks[outcome.kind];
  const failure = outcome.failure;
  const summary = wrap(outcome.summary, style.width - 2).map((line, index) =>
    paint(style, colour, `${index === 0 ? mark : ' '} ${line}`),
  );
  const where =
    failure === null
      ? []
      : wrap(
          `at ${failure.stage} of the ${failure.at}`
            .replace('of the sidecar', 'in the sidecar')
            .replace('of the gateway', 'in the gateway'),
          style.width - 2,
        ).map((line) => `  ${line}`);
  const candidates = [...(failure?.candidates ?? []), ...outcome.candidates];
  return [...summary, ...where, ...candidateLines(candidates, style)];
}

function candidateLines(candidates: readonly Candidate[], style: PrintStyle): string[] {
  const rows = candidates.map(({ text, sources }): Row => ({
    label: 'perhaps',
    text,
    place: placesText(sources, style),
  }));
  return layOut(rows, step, style);
}

/** `alike`: other pods at which it goes the same. */
function hopLines(hop: Hop, indent: number, style: PrintStyle, alike: readonly string[]): string[] {
  const also = alike.length === 0 ? '' : `; alike at ${alike.join(', ')}`;
  const title = wrap(`${titleOf(hop)}${also}`, style.width - indent).map(
    (line, index) => `${' '.repeat(index === 0 ? indent : indent + step)}${paint(style, 'bold', line)}`,
  );
  const rows = [
    ...connectionRows(hop, style),
    ...(hop.http === null ? [] : httpRows(hop.http, hop, style)),
    ...noteRows(hop),
  ];
  return [
    '',
    ...title,
    ...layOut(rows, indent + step, style),
    ...failureLines(hop.failure, indent + step, style),
    ...hop.targets.flatMap((target) => targetLines(target, hop, indent + step, style)),
  ];
}

function titleOf({ side, proxy, connection }: Hop): string {
  if (proxy === null)
    return side === 'none' && connection.why === 'endpoint of the pod'
      ? `pod at ${connection.destination}`
      : 'client without a sidecar';
  const who = `${proxy.pod}.${proxy.namespace}`;
  switch (side) {
    case 'gateway':
      return `gateway ${who}`;
    case 'inbound':
      return `sidecar of ${who}, inbound`;
    case 'outbound':
    case 'none':
    default:
      return `sidecar of ${who}, outbound`;
  }
}

function connectionRows({ connection, listener, chain, side }: Hop, style: PrintStyle): Row[] {
  const rows: Row[] = [];
  const transport =
    connection.transport === 'plain text' && side !== 'inbound' ? '' : `, ${connection.transport}`;
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

function httpRows(http: HttpTrace, hop: Hop, style: PrintStyle): Row[] {
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
  return [
    ...rows,
    ...settingRows(
      action.settings.filter((setting) => hop.side !== 'inbound' || !isUsual(setting)),
      style,
    ),
  ];
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

function settingRows(settings: readonly Setting[], style: PrintStyle): Row[] {
  return settings.map(({ label, text, sources }) => ({ label, text, place: placesText(sources, style) }));
}

/** What every route has that nobody wrote anything for. */
function isUsual({ label, sources }: Setting): boolean {
  return (label === 'timeout' || label === 'retries') && sources.length === 0;
}

function noteRows({ notes }: Hop): Row[] {
  return notes.map((text) => ({ label: 'note', text, place: '' }));
}

function failureLines(failure: Failure | null, indent: number, style: PrintStyle): string[] {
  if (failure === null) return [];
  const code = [failure.status === null ? '' : String(failure.status), failure.flag]
    .filter((part) => part !== '')
    .join(' ');
  const text = `${code === '' ? '' : `${code}: `}${failure.reason}`;
  return layOut(
    [{ label: failure.stage, mark: '✘', markColour: 'red', text, colour: 'red', place: '' }],
    indent,
    style,
  );
}

function targetLines(target: Target, hop: Hop, indent: number, style: PrintStyle): string[] {
  const { cluster, share, picked, endpoints, receivers } = target;
  const isInbound = hop.side === 'inbound';
  const part = share < 1 ? `${shareText(share)} to ` : '';
  const rows: Row[] = [];
  if (cluster !== '')
    rows.push({
      label: 'cluster',
      text: `${part}${cluster}${picked ? '' : ' (not followed: --pick)'}`,
      place: isInbound ? '' : placesText(target.sources, style),
    });
  if (!picked) return layOut(rows, indent, style);
  const settings = target.settings.filter((setting) => !isInbound || setting.sources.length > 0);
  rows.push(...settingRows(settings, style));
  if (isInbound && target.failure === null)
    rows.push({ label: 'app', text: endpoints[0]?.address ?? '', place: '' });
  else if (isPassthrough(cluster))
    rows.push({
      label: 'endpoint',
      text: `${endpoints[0]?.address ?? ''}: where the client wanted to go`,
      place: '',
    });
  else rows.push(...endpointRows(endpoints));
  return [
    ...layOut(rows, indent, style),
    ...failureLines(target.failure, indent, style),
    ...receivers.flatMap(({ pods, hop: next }) => hopLines(next, indent, style, pods.slice(1))),
  ];
}

const endpointMarks: Readonly<Record<EndpointTrace['state'], readonly [string, Colour]>> = {
  in: ['✔', 'green'],
  standby: ['○', 'yellow'],
  out: ['✘', 'red'],
};

function endpointRows(endpoints: readonly EndpointTrace[]): Row[] {
  const same = new Set(endpoints.filter(({ state }) => state === 'in').map(({ weight }) => weight)).size < 2;
  const rows = endpoints.slice(0, endpointsMax).map((endpoint): Row => {
    const { state, address, pod, reason, transport, locality, weight } = endpoint;
    const [mark, markColour] = endpointMarks[state];
    const more = [
      locality,
      same || state !== 'in' ? '' : `weight ${weight}`,
      transport === '' || transport === 'plain text' ? '' : transport,
      reason,
    ].filter((text) => text !== '');
    const text = [`${address}${pod === '' ? '' : ` ${pod}`}`, ...more]
      .join(', ')
      .replace(/, (?=[^,]*$)/, more.length > 0 && reason !== '' ? ': ' : ', ');
    return { label: 'endpoints', mark, markColour, text, place: '' };
  });
  if (endpoints.length > endpointsMax)
    rows.push({ label: 'endpoints', mark: '·', text: `${endpoints.length - endpointsMax} more`, place: '' });
  return rows;
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

/** `reviews v2`, for tables of destinations. */
export function shortName(cluster: string): string {
  const name = parseClusterName(cluster);
  return name === undefined
    ? cluster
    : `${name.hostname.split('.')[0]}${name.subset === '' ? '' : ` ${name.subset}`}`;
}
