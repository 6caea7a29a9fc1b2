// npm run bench -- --list
// npm run bench -- SCENARIO [--json FILE] [--seconds N] [--rounds N]
// The scenarios of xDS: [--proxies N,N] [--dialects sotw,delta] [--duration SECONDS] [--only TEXT]
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { fileToAck } from './file-to-ack.ts';
import { generate } from './generate.ts';
import { gatewayHttp1 } from './gateway-http1.ts';
import { proxyGrpc, proxyHttp2 } from './proxy-http2.ts';
import type { Result, Scenario } from './scenario.ts';
import { xdsChurn } from './xds-churn.ts';
import { xdsEngine } from './xds-engine/xds-engine.ts';
import { xdsNoop } from './xds-noop.ts';
import { xdsPropagation } from './xds-propagation.ts';
import { xdsReconnect } from './xds-reconnect.ts';
import { describeMachine, rounded } from './scenario.ts';

const scenarios: readonly Scenario[] = [
  gatewayHttp1,
  proxyHttp2,
  proxyGrpc,
  fileToAck,
  generate,
  xdsEngine,
  xdsPropagation,
  xdsNoop,
  xdsChurn,
  xdsReconnect,
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    list: { type: 'boolean', default: false },
    json: { type: 'string' },
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    proxies: { type: 'string', default: '500,2000' },
    dialects: { type: 'string', default: 'sotw,delta' },
    duration: { type: 'string', default: '60' },
    only: { type: 'string', default: '' },
  },
});

if (values.list) {
  for (const { name, about } of scenarios) console.log(`${name.padEnd(16)} ${about}`);
} else {
  const scenario = scenarios.find(({ name }) => name === positionals[0]);
  if (scenario === undefined || positionals.length !== 1) {
    console.error(`usage: npm run bench -- --list | SCENARIO [--json FILE] [--seconds N] [--rounds N]`);
    console.error(`scenarios: ${scenarios.map(({ name }) => name).join(', ')}`);
    process.exit(2);
  }
  const measured = await scenario.run({
    seconds: positiveNumber('seconds', values.seconds),
    rounds: positiveNumber('rounds', values.rounds),
    proxies: values.proxies.split(',').map((text) => positiveNumber('proxies', text)),
    dialects: values.dialects.split(',').map(dialectNamed),
    durationSeconds: positiveNumber('duration', values.duration),
    only: values.only,
    log: (line) => console.error(line),
  });
  const result: Result = { scenario: scenario.name, machine: describeMachine(), ...measured };
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, fourDigits, 2)}\n`);
  print(result);
  process.exit(0);
}

function positiveNumber(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) {
    console.error(`--${name} ${text}: expected a number above 0`);
    process.exit(2);
  }
  return value;
}

function dialectNamed(text: string): 'sotw' | 'delta' {
  if (text !== 'sotw' && text !== 'delta') {
    console.error(`--dialects ${text}: expected sotw or delta`);
    process.exit(2);
  }
  return text;
}

function print(result: Result): void {
  console.log(`${result.scenario} on ${result.machine}`);
  for (const [name, value] of Object.entries(result.metrics))
    console.log(`  ${name.padEnd(36)} ${rounded(value)}`);
  for (const [peer, ratio] of Object.entries(result.ratios))
    console.log(`  ratio to ${peer.padEnd(27)} ${rounded(ratio)}`);
  for (const peer of result.missing) console.log(`  missing peer: ${peer}`);
}

/** Four digits are more than any of these measurements is good for. */
function fourDigits(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(4)) : value;
}
