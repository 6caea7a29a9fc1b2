// RequestAuthentications and what the control plane may fetch for them.
import type { Analyzer } from '../analyzer.ts';
import { listAt, textAt } from '../fields.ts';
import { says } from '../messages.ts';
import { fullName } from '../object.ts';

const namesMax = 5;

export const blockedCidrs: Analyzer = {
  name: 'authn.BlockedCIDRsAnalyzer',
  description: 'istiod is told where it must not fetch JWT keys from (BLOCKED_CIDRS_IN_JWKS_URIS)',
  run: ({ objects, report }) => {
    const names = objects.list('RequestAuthentication').map(fullName);
    if (names.length === 0) return;
    const more = names.length > namesMax ? `, and ${names.length - namesMax} more` : '';
    for (const object of objects.list('Deployment')) {
      if (object.labels['app'] !== 'istiod') continue;
      const containers = listAt(object.body, 'spec', 'template', 'spec', 'containers');
      const isSet = containers.some((container) =>
        listAt(container, 'env').some(
          (variable) =>
            textAt(variable, 'name') === 'BLOCKED_CIDRS_IN_JWKS_URIS' && textAt(variable, 'value') !== '',
        ),
      );
      if (!isSet)
        report(
          says.jwksUriFetchUnrestricted(names.length, `${names.slice(0, namesMax).join(', ')}${more}`),
          object,
          'spec',
          'template',
          'spec',
          'containers',
        );
    }
  },
};
