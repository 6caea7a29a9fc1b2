// PeerAuthentication: what Istio demands beyond the structure.
// Source: Istio pkg/config/validation (behaviour of 1.32).
import type { PeerAuthenticationSpec } from '../../api/gen/istio-types.js';
import { Checker } from './checker.ts';
import { checkSelectorLabels } from './rules.ts';
import type { Validator } from './validator.ts';

export const validatePeerAuthentication: Validator = (object, _meta, report) => {
  const spec = object['spec'] as PeerAuthenticationSpec | undefined;
  if (spec === undefined) return;
  const checker = new Checker(report, ['spec']);
  const { selector, portLevelMtls } = spec;
  const place = checker.at('portLevelMtls');
  const ports = Object.keys(portLevelMtls ?? {});
  if (Object.keys(selector?.matchLabels ?? {}).length === 0 && ports.length > 0)
    place.error(
      'the PeerAuthentication of a mesh or namespace cannot have port level mTLS: it needs a selector with labels',
    );
  if (portLevelMtls !== undefined && ports.length === 0)
    place.error('port level mTLS, if given, must have at least one port');
  for (const port of ports)
    if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535)
      place.at(port).error(`a port is a number of 1 to 65535, not ${port}`);
  if (selector === undefined) return;
  checkSelectorLabels(selector.matchLabels, checker.at('selector', 'matchLabels'));
  if (Object.keys(selector.matchLabels ?? {}).length === 0)
    checker.at('selector').warn('a selector without labels: it applies to all workloads of the namespace');
};
