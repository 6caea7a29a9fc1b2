// A trace for people: what comes of the request first, then hop by hop why.
import type { Colour, Row } from './layout.ts';
import { layOut, paint, wrap } from './layout.ts';
import type { PrintStyle } from './print-rows.ts';
import { connectionRows, endpointRows, httpRows, placesText, settingRows } from './print-rows.ts';
import { isPassthrough } from './target-stage.ts';
import type { Candidate, Failure, Hop, Outcome, Target, Trace } from './trace.ts';
import { shareText } from './words.ts';

export type { PrintStyle };

const step = 2;

export function printTrace(trace: Trace, style: PrintStyle): string {
  const { request, outcome, hop } = trace;
  const isHttp = /^https?:/.test(request.url);
  const lines = [
    `${paint(style, 'bold', isHttp ? `${request.method} ${request.url}` : request.url)} from ${paint(style, 'bold', request.from)}`,
    ...headerLines(trace, style),
    '',
    ...outcomeLines(outcome, hop, style),
    ...hopLines(hop, outcome, 0, style, []),
  ];
  return `${lines.join('\n')}\n`;
}

function headerLines({ request }: Trace, style: PrintStyle): string[] {
  const texts = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`);
  const host = new URL(request.url.replace(/^\w+:/, 'http:')).host;
  if (request.authority !== host) texts.unshift(`host: ${request.authority}`);
  return texts.flatMap((text) => wrap(text, style.width - step).map((line) => ' '.repeat(step) + line));
}

const marks: Readonly<Record<Outcome['kind'], readonly [string, Colour]>> = {
  routed: ['✔', 'green'],
  answered: ['✔', 'green'],
  passthrough: ['!', 'yellow'],
  partly: ['✘', 'red'],
  failed: ['✘', 'red'],
};

function outcomeLines(outcome: Outcome, hop: Hop, style: PrintStyle): string[] {
  const [mark, colour] = marks[outcome.kind];
  const { failure } = outcome;
  const summary = wrap(outcome.summary, style.width - step).map((line, index) =>
    paint(style, colour, `${index === 0 ? mark : ' '} ${line}`),
  );
  const rows: Row[] = [];
  if (failure !== null) rows.push({ label: 'where', text: `${failure.at}, ${failure.stage}`, place: '' });
  rows.push(...becauseRows(hop, style));
  rows.push(...candidateRows([...(failure?.candidates ?? []), ...outcome.candidates], style));
  return [...summary, ...layOut(rows, step, style)];
}

/** The rule that decided, of those that a user wrote. */
function becauseRows({ http }: Hop, style: PrintStyle): Row[] {
  const won = http?.rules.find(({ result }) => result === 'matched');
  if (won === undefined || http === null) return [];
  const [source] = won.sources.filter(({ kind }) => kind !== 'Service' && kind !== 'ServiceEntry');
  const what = won.clauses.map(({ wanted }) => wanted).join(', ');
  if (source === undefined) {
    if (won.sources.length === 0) return [];
    return [
      {
        label: 'because',
        text: `no VirtualService has ${http.authority} here: the service’s own route`,
        place: '',
      },
    ];
  }
  const text = `${what}: ${source.kind} ${source.namespace}/${source.name}`;
  return [{ label: 'because', text, place: placesText([source], style) }];
}

function candidateRows(candidates: readonly Candidate[], style: PrintStyle): Row[] {
  return candidates.map(({ text, sources }) => ({
    label: 'perhaps',
    text,
    place: placesText(sources, style),
  }));
}

/** `alike`: other pods at which it goes the same. */
function hopLines(
  hop: Hop,
  outcome: Outcome,
  indent: number,
  style: PrintStyle,
  alike: readonly string[],
): string[] {
  const also = alike.length === 0 ? '' : ` (the same at ${alike.join(', ')})`;
  const title = wrap(titleOf(hop) + also, style.width - indent - step).map(
    (line, index) => `${' '.repeat(index === 0 ? indent : indent + step)}${paint(style, 'bold', line)}`,
  );
  const rows = [
    ...connectionRows(hop, style),
    ...(hop.http === null ? [] : httpRows(hop.http, hop, style)),
    ...hop.notes.map((text): Row => ({ label: 'note', text, place: '' })),
    ...failureRows(hop.failure, outcome),
  ];
  return [
    '',
    ...title,
    ...layOut(rows, indent + step, style),
    ...hop.targets.flatMap((target, index) => [
      ...(hop.targets.length > 1 && index >= 0 ? [''] : []),
      ...targetLines(target, hop, outcome, indent + step, style),
    ]),
  ];
}

function titleOf({ side, proxy, connection, targets }: Hop): string {
  if (proxy === null)
    return targets.length === 0 && connection.why === 'endpoint of the pod'
      ? `pod at ${connection.destination}`
      : 'client';
  const who = `${proxy.pod}.${proxy.namespace}`;
  if (side === 'gateway') return `gateway ${who}`;
  return `sidecar of ${who}, ${side}`;
}

/** What the summary says already is not said again. */
function failureRows(failure: Failure | null, { failure: first }: Outcome): Row[] {
  if (failure === null) return [];
  const code = [failure.status === null ? '' : String(failure.status), failure.flag]
    .filter((part) => part !== '')
    .join(' ');
  const reason = failure.reason === first?.reason ? 'it fails here' : failure.reason;
  const text = code === '' ? reason : `${reason}: ${code}`;
  return [{ label: failure.stage, mark: '✘', markColour: 'red', text, colour: 'red', place: '' }];
}

function targetLines(
  target: Target,
  hop: Hop,
  outcome: Outcome,
  indent: number,
  style: PrintStyle,
): string[] {
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
  rows.push(...settingRows(target.settings, style));
  const [first] = endpoints;
  if (isInbound && target.failure === null) {
    const doubt = isPassthrough(cluster) ? ` (${first?.reason ?? ''})` : '';
    rows.push({ label: 'app', text: `${first?.address ?? ''}${doubt}`, place: '' });
  } else if (isPassthrough(cluster))
    rows.push({
      label: 'endpoint',
      text: `${first?.address ?? ''}: where the client wanted to go`,
      place: '',
    });
  else rows.push(...endpointRows(endpoints));
  rows.push(...failureRows(target.failure, outcome));
  return [
    ...layOut(rows, indent, style),
    ...receivers.flatMap(({ pods, hop: next }) => hopLines(next, outcome, indent, style, pods.slice(1))),
  ];
}
