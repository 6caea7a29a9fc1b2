// How clients of the control plane are to find out whether a service's endpoints are well.
import { parseDurationNs } from './duration.ts';

export interface HealthCheck {
  readonly protocol: 'http' | 'tcp';
  /** HTTP: what is asked for; any 200 is well. */
  readonly path?: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Checks in a row that must fail, or succeed, before it counts. */
  readonly unhealthyThreshold: number;
  readonly healthyThreshold: number;
}

/** Of Services and ServiceEntries: `http:/path` or `tcp`, then `interval=`, `timeout=`, `unhealthy=`, `healthy=`. */
export const healthCheckAnnotation = 'fairlead/health-check';

const defaults = { intervalMs: 5000, timeoutMs: 1000, unhealthyThreshold: 3, healthyThreshold: 1 } as const;
/** Whoever checks is not to be kept busy by it. */
const intervalMsMin = 500;
const pathLengthMax = 1024;

/** What the annotation says, or what is wrong with it. */
export function parseHealthCheck(
  text: string,
): { readonly ok: true; readonly check: HealthCheck } | { readonly ok: false; readonly error: string } {
  const [what = '', ...settings] = text.trim().split(/\s+/);
  const path = what.startsWith('http:') ? what.slice('http:'.length) : undefined;
  if (what !== 'tcp' && (path === undefined || !path.startsWith('/') || path.length > pathLengthMax))
    return wrong(`must begin with tcp or http:/path, not ${JSON.stringify(what.slice(0, 100))}`);
  const check = {
    ...defaults,
    protocol: path === undefined ? ('tcp' as const) : ('http' as const),
    ...(path === undefined ? {} : { path }),
  };
  const written = new Map<string, number>();
  for (const setting of settings) {
    const [, name = '', value = ''] = /^([a-z]+)=(\S+)$/.exec(setting) ?? [];
    const field = fields[name];
    if (field === undefined || written.has(field.name))
      return wrong(
        `${JSON.stringify(setting.slice(0, 100))}: accepted are interval=, timeout=, unhealthy=, healthy=, each once`,
      );
    const number = field.isDuration ? millisecondsOf(value) : countOf(value);
    if (number === undefined)
      return wrong(
        `${name}=${value.slice(0, 100)}: must be ${field.isDuration ? 'a duration such as 5s' : 'a number from 1 to 100'}`,
      );
    written.set(field.name, number);
  }
  const made: HealthCheck = { ...check, ...Object.fromEntries(written) };
  if (made.intervalMs < intervalMsMin) return wrong(`interval must be ${intervalMsMin}ms at least`);
  if (made.timeoutMs > made.intervalMs) return wrong('timeout must not be longer than interval');
  return { ok: true, check: made };
}

const fields: Readonly<Record<string, { readonly name: keyof HealthCheck; readonly isDuration: boolean }>> = {
  interval: { name: 'intervalMs', isDuration: true },
  timeout: { name: 'timeoutMs', isDuration: true },
  unhealthy: { name: 'unhealthyThreshold', isDuration: false },
  healthy: { name: 'healthyThreshold', isDuration: false },
};

function millisecondsOf(value: string): number | undefined {
  const nanoseconds = parseDurationNs(value);
  return nanoseconds === undefined || nanoseconds < 1e6 ? undefined : Math.round(nanoseconds / 1e6);
}

function countOf(value: string): number | undefined {
  const number = Number(value);
  return Number.isInteger(number) && number >= 1 && number <= 100 ? number : undefined;
}

function wrong(error: string): { readonly ok: false; readonly error: string } {
  return { ok: false, error };
}

/** What an object's annotations ask for; undefined: nothing, or nothing that can be understood. */
export function healthCheckOf(annotations: Readonly<Record<string, string>>): HealthCheck | undefined {
  const text = annotations[healthCheckAnnotation];
  const parsed = text === undefined ? undefined : parseHealthCheck(text);
  return parsed?.ok === true ? parsed.check : undefined;
}
