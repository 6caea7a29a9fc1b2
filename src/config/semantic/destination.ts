// Destinations of routes and mirrors, and their weights.
import type { Checker } from './checker.ts';
import { checkPort, checkWildcardDomain, isLabel } from './rules.ts';

export interface Destination {
  readonly host?: string | undefined;
  readonly subset?: string | undefined;
  readonly port?: { readonly number?: number | undefined } | undefined;
}

export function checkDestination(destination: Destination | undefined, checker: Checker): void {
  if (destination === undefined) return;
  const { host = '', subset, port } = destination;
  if (host === '*') checker.at('host').error('invalid destination host *');
  else checkWildcardDomain(host, checker.at('host'));
  if (subset !== undefined && subset !== '') checkSubsetName(subset, checker.at('subset'));
  if (port !== undefined) checkPort(port.number, checker.at('port', 'number'));
}

export function checkSubsetName(name: string | undefined, checker: Checker): void {
  if (name === undefined || name === '') checker.error('the subset name cannot be empty');
  else if (!isLabel(name)) checker.error(`subset name is invalid: "${name}"`);
}

/** Several destinations share their traffic by weight: not all of the weights can be zero. */
export function checkWeights(
  routes: readonly { readonly weight?: number | undefined }[] | undefined,
  checker: Checker,
): void {
  const total = (routes ?? []).reduce((sum, route) => sum + (route.weight ?? 0), 0);
  if ((routes?.length ?? 0) > 1 && total === 0) checker.error('total destination weight = 0');
  if (total > 4_294_967_295) checker.error('the weights sum to more than 4294967295');
}
