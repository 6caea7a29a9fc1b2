// What istiod is told by variables of its environment, under the same names.
import { UserError } from '../base/user-error.ts';
import type { PilotFeatures } from '../pilot/world/world.ts';

export function readPilotFeatures(environment: Readonly<Record<string, string | undefined>>): PilotFeatures {
  return { scopeGatewaysToNamespace: isOn(environment, 'PILOT_SCOPE_GATEWAY_TO_NAMESPACE') };
}

/** As Go reads a boolean; istiod goes on with the default where it cannot, and nobody sees it. */
function isOn(environment: Readonly<Record<string, string | undefined>>, name: string): boolean {
  const text = environment[name] ?? '';
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true;
  if (['', '0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false;
  throw new UserError(`the variable ${name} must be true or false, not ${JSON.stringify(text)}`);
}
