// What fuzzing of connections has found, as the smallest mesh that shows it: fuzz/cases/connections/*.yaml.
import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse } from 'yaml';
import type { ConnectionCase } from './differential.ts';
import type { FuzzConnection } from './generate.ts';
import type { ProxyPlace } from './resources.ts';

interface Found {
  readonly about: string;
  readonly place: ProxyPlace;
  readonly config: string;
  /** GET / of the host `a` in plain HTTP, where a connection does not say otherwise. */
  readonly connections: readonly (Pick<FuzzConnection, 'to' | 'address' | 'port'> &
    Partial<FuzzConnection>)[];
}

/** Every case of that folder, sorted by name. */
export function foundConnectionCases(folder: string): readonly ConnectionCase[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .sort()
    .map((file) => {
      const { about, place, config, connections } = parse(readFileSync(join(folder, file), 'utf8')) as Found;
      return {
        name: `${basename(file, '.yaml')}: ${about}`,
        place,
        config,
        connections: connections.map((connection) => ({
          speech: connection.bytes === undefined ? ('http/1.1' as const) : ('bytes' as const),
          method: 'GET',
          host: 'a',
          path: '/',
          headers: {},
          ...connection,
        })),
      };
    });
}
