// Reading a bootstrap: what is taken, and how it is said what is not.
import { describe, expect, test } from 'vitest';
import { readOptions } from './options.ts';
import { readBootstrap } from './read-bootstrap.ts';

const read = (text: string): ReturnType<typeof readBootstrap> => readBootstrap([{ name: 'b.yaml', text }]);

const ads = `
static_resources: { clusters: [{ name: xds, type: STATIC }] }
dynamic_resources:
  cds_config: { ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s }
  lds_config: { ads: {} }
  ads_config: { api_type: GRPC, transport_api_version: V3, grpc_services: [{ envoy_grpc: { cluster_name: xds }, initial_metadata: [{ key: a, value: b }] }] }
`;

describe('readBootstrap', () => {
  test('YAML and JSON, snake_case and camelCase (D1.01)', () => {
    const yaml = read(
      'node: { id: a }\nstatic_resources: { clusters: [{ name: c, connect_timeout: 0.5s }] }',
    );
    const json = read(
      '{"node":{"id":"a"},"staticResources":{"clusters":[{"name":"c","connectTimeout":"0.5s"}]}}',
    );
    expect(yaml).toEqual(json);
    expect(yaml.staticResources?.clusters[0]?.connectTimeout?.nanos).toBe(500_000_000);
    expect(read('').node).toBeUndefined();
  });

  test('several sources are merged in order (D1.01)', () => {
    const merged = readBootstrap([
      { name: 'a', text: 'node: { id: a, cluster: x }\nstatic_resources: { clusters: [{ name: one }] }' },
      { name: 'b', text: 'node: { id: b }\nstatic_resources: { clusters: [{ name: two }] }' },
    ]);
    expect(merged.node).toMatchObject({ id: 'b', cluster: 'x' });
    expect(merged.staticResources?.clusters.map(({ name }) => name)).toEqual(['one', 'two']);
  });

  const cases: readonly (readonly [string, string, RegExp])[] = [
    [
      'unknown field',
      'node:\n  idd: a',
      /^cannot read the bootstrap b\.yaml:2:8: node\.idd: is not a field of envoy\.config\.core\.v3\.Node/,
    ],
    [
      'a near miss',
      'static_resources:\n  cluster: []',
      /static_resources\.cluster: is not a field of .*; did you mean clusters\?$/,
    ],
    [
      'a wrong type',
      'static_resources:\n  clusters:\n    - name: [1]',
      /b\.yaml:3:13: static_resources\.clusters\[0\]\.name: /,
    ],
    [
      'an unknown enum value',
      'static_resources:\n  clusters:\n    - type: FOO',
      /b\.yaml:3:13: static_resources\.clusters\[0\]\.type: /,
    ],
    [
      'a bad duration',
      'static_resources:\n  clusters:\n    - connect_timeout: soon',
      /b\.yaml:3:24: static_resources\.clusters\[0\]\.connect_timeout: /,
    ],
    [
      'a wrong field behind fields with a JSON form of their own',
      'static_resources:\n  clusters:\n    - connect_timeout: 1s\n      per_connection_buffer_limit_bytes: 5\n      nam: x',
      /static_resources\.clusters\[0\]\.nam: is not a field/,
    ],
    [
      'an unknown type in an Any',
      "static_resources:\n  listeners:\n    - filter_chains: [{ filters: [{ name: x, typed_config: { '@type': type.googleapis.com/no.Such } }] }]",
      /b\.yaml:3:\d+: static_resources\.listeners\[0\]\.filter_chains\[0\]\.filters\[0\]\.typed_config\.@type: type\.googleapis\.com\/no\.Such is not a type that this proxy knows/,
    ],
    ['YAML that cannot be parsed', 'a: [', /b\.yaml:1:\d+: /],
    ['a list', '- a', /an object \(envoy\.config\.bootstrap\.v3\.Bootstrap\) is expected/],
    [
      'an alias bomb',
      `a: &a [x,x]\n${'bcdefghijk'
        .split('')
        .map((c, i) => `${c}: &${c} [${`*${'abcdefghij'[i]},`.repeat(9)}]`)
        .join('\n')}`,
      /cannot read the bootstrap b\.yaml/,
    ],
  ];
  test.each(cases)('%s is said with path and line (D1.01)', (_, text, message) => {
    expect(() => read(text)).toThrow(message);
  });
});

describe('readOptions', () => {
  test('ADS with its sources and metadata; the timeout is 15 s where none is given (D1.02, partly D1.05)', () => {
    expect(readOptions(read(ads))).toMatchObject({
      ads: {
        dialect: 'sotw',
        cluster: 'xds',
        metadata: [['a', 'b']],
        authority: undefined,
        backOff: { firstMs: 500, maxMs: 30_000 },
      },
      cds: { kind: 'ads', initialFetchTimeoutMs: 0 },
      lds: { kind: 'ads', initialFetchTimeoutMs: 15_000 },
    });
    expect(readOptions(read(ads.replace('api_type: GRPC', 'api_type: DELTA_GRPC'))).ads?.dialect).toBe(
      'delta',
    );
  });

  test('a stream of its own for a type, and files (D1.02)', () => {
    const own = read(`
static_resources: { clusters: [{ name: xds }, { name: other }] }
dynamic_resources:
  cds_config: { api_config_source: { api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{ envoy_grpc: { cluster_name: xds, authority: me, retry_policy: { retry_back_off: { base_interval: 1s } } } }] } }
  lds_config: { path_config_source: { path: /dev/null, watched_directory: { path: /dev } } }
`);
    const options = readOptions(own);
    expect(options).toMatchObject({
      ads: undefined,
      cds: {
        kind: 'grpc',
        server: {
          dialect: 'delta',
          cluster: 'xds',
          authority: 'me',
          backOff: { firstMs: 1000, maxMs: 30_000 },
        },
      },
      lds: { kind: 'path', path: '/dev/null', watchedDirectory: '/dev' },
    });
    expect(options.sources.grpcClusters).toEqual(new Set(['xds']));
  });

  test('what is not supported is refused with its path (D1.02)', () => {
    const refused =
      (text: string): (() => unknown) =>
      () =>
        readOptions(read(text));
    expect(refused(ads.replace('api_type: GRPC', 'api_type: AGGREGATED_GRPC'))).toThrow(
      'dynamic_resources.ads_config.api_type: AGGREGATED_GRPC is not supported; use GRPC or DELTA_GRPC',
    );
    expect(
      refused(
        ads.replace('envoy_grpc: { cluster_name: xds }', 'google_grpc: { target_uri: x, stat_prefix: y }'),
      ),
    ).toThrow(/dynamic_resources\.ads_config\.grpc_services: exactly one service with envoy_grpc/);
    expect(refused(ads.replace('name: xds, type: STATIC', 'name: xds, type: EDS'))).toThrow(
      /dynamic_resources\.ads_config: names the cluster xds, which static_resources\.clusters does not have, or only as an EDS cluster/,
    );
    expect(refused(ads.replace('cluster_name: xds', 'cluster_name: xds, skip_envoy_headers: true'))).toThrow(
      /dynamic_resources\.ads_config\.grpc_services\[0\]\.envoy_grpc\.skip_envoy_headers: is not supported/,
    );
    const backOff = 'cluster_name: xds, retry_policy: { retry_back_off: { base_interval: 0s } }';
    expect(refused(ads.replace('cluster_name: xds', backOff))).toThrow(
      /envoy_grpc\.retry_policy\.retry_back_off: base_interval must be 1 ms or more/,
    );
    expect(
      refused('dynamic_resources: { cds_config: { path_config_source: { path: /no/such/file } } }'),
    ).toThrow(/dynamic_resources\.cds_config\.path_config_source\.path: \/no\/such\/file does not exist/);
    expect(
      refused(
        'dynamic_resources: { cds_config: { api_config_source: { api_type: REST, cluster_names: [a] } } }',
      ),
    ).toThrow(
      /dynamic_resources\.cds_config\.api_config_source\.api_type: REST is not supported; use GRPC or DELTA_GRPC/,
    );
    expect(refused('dynamic_resources: { cds_config: {} }')).toThrow(
      /dynamic_resources\.cds_config: names no source/,
    );
    expect(refused('dynamic_resources: { cds_config: { ads: {} } }')).toThrow(
      /dynamic_resources\.cds_config\.ads: needs dynamic_resources\.ads_config/,
    );
    expect(refused('tracing: {}')).toThrow(/^tracing: is not supported/);
    expect(refused('overload_manager: {}')).toThrow(/overload_manager: is not supported/);
    expect(refused('admin: { address: { pipe: { path: /x } } }')).toThrow(
      /admin\.address: must be a socket_address/,
    );
  });

  test('what has no effect is listed, so that it can be logged (D1.10)', () => {
    const options = readOptions(
      read(
        'layered_runtime: { layers: [{ name: static, static_layer: { a: 1 } }] }\nstats_config: { stats_tags: [{ tag_name: x, regex: y }, { tag_name: z, fixed_value: w }] }',
      ),
    );
    expect(options.withoutEffect).toEqual([
      'stats_config.stats_tags[0] (x)',
      'layered_runtime.layers[0] (static)',
    ]);
    expect(options.fixedTags).toEqual([{ name: 'z', value: 'w' }]);
  });
});
