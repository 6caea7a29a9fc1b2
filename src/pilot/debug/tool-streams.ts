// The types that tools ask for over xDS, and which streams are such tools'.
import type { XdsStream } from '../../xds/server/stream.ts';

/** Any debug page, by its name. */
export const pageType = 'istio.io/debug';
/** Every proxy and how far it is, as ClientConfigs. */
export const synczType = `${pageType}/syncz`;
/** What one proxy should have, as the messages of a config dump. */
export const configDumpType = `${pageType}/config_dump`;
export const debugTypes: readonly string[] = [pageType, synczType, configDumpType];

/** Whether it asks for debug types and nothing else: no proxy. */
export function isToolStream({ subscriptions }: Pick<XdsStream, 'subscriptions'>): boolean {
  if (subscriptions.size === 0) return false;
  for (const typeUrl of subscriptions.keys()) if (!debugTypes.includes(typeUrl)) return false;
  return true;
}
