// What a proxy's agent is to answer DNS queries from.
import { typeUrls } from '../../xds/types.ts';
import type { DebugPage } from './answers.ts';
import { connectionOf, json, plain } from './answers.ts';
import { resourceJson } from './config-dump.ts';

export const nameTablePage: DebugPage = {
  path: '/debug/ndsz',
  help: 'The name table of a proxy, whether it has asked for it or not: ?proxyID=',
  answer: (pilot, query) => {
    const connection = connectionOf(pilot, query);
    if ('status' in connection) return connection;
    const { resources } = pilot;
    const scope = resources.scope(connection.node);
    const outcome = resources.snapshot({ typeUrl: typeUrls.nameTable, scope, names: undefined });
    const [table] = outcome.ok ? outcome.value.values() : [];
    return table === undefined
      ? plain(500, 'the name table could not be made')
      : json(resourceJson(pilot, typeUrls.nameTable, table), query);
  },
};
