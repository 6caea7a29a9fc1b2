// What fuzzing has found, as the smallest mesh that shows it: fuzz/cases/*.yaml.
import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse } from 'yaml';
import type { FuzzRequest } from './generate-request.ts';
import type { FuzzCase } from './generate.ts';
import { places } from './mesh-resources.ts';

interface Found {
  readonly about: string;
  readonly config: string;
  /** GET of the host of the Service `a`, at both places, where a request does not say otherwise. */
  readonly requests: readonly (Partial<FuzzRequest> & { readonly path: string })[];
}

/** Every case of that folder, sorted by name. */
export function foundCases(folder: string): readonly FuzzCase[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .sort()
    .map((file) => {
      const { about, config, requests } = parse(readFileSync(join(folder, file), 'utf8')) as Found;
      return {
        name: `${basename(file, '.yaml')}: ${about}`,
        config,
        requests: requests.flatMap((request) =>
          (request.at === undefined ? places : [request.at]).map((at) => ({
            method: 'GET',
            host: 'a.default.svc.cluster.local',
            headers: {},
            ...request,
            at,
          })),
        ),
      };
    });
}
