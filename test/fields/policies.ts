// Traffic policies that between them use every field of one.

/** Parts of a traffic policy that are valid together with nothing else. */
export const policies: Readonly<Record<string, unknown>> = {
  pools: {
    connectionPool: {
      tcp: {
        maxConnections: 10,
        connectTimeout: '3s',
        idleTimeout: '30s',
        maxConnectionDuration: '1h',
        tcpKeepalive: { probes: 3, time: '60s', interval: '10s' },
      },
      http: {
        http1MaxPendingRequests: 5,
        http2MaxRequests: 6,
        maxRequestsPerConnection: 7,
        maxRetries: 8,
        idleTimeout: '40s',
        useClientProtocol: true,
        maxConcurrentStreams: 9,
      },
    },
  },
  upgrade: {
    connectionPool: {
      http: {
        h2UpgradePolicy: 'UPGRADE',
        maxConcurrentStreams: 11,
        http2KeepAlive: { interval: '30s', timeout: '5s' },
      },
    },
  },
  outlier: {
    outlierDetection: {
      splitExternalLocalOriginErrors: true,
      consecutiveLocalOriginFailures: 3,
      consecutiveGatewayErrors: 4,
      consecutive5xxErrors: 6,
      interval: '5s',
      baseEjectionTime: '20s',
      maxEjectionPercent: 50,
      minHealthPercent: 10,
    },
  },
  'tcp-idle': { connectionPool: { tcp: { idleTimeout: '30s' } } },
  'outlier-split': { outlierDetection: { splitExternalLocalOriginErrors: true } },
  'outlier-old': { outlierDetection: { consecutiveErrors: 3 } },
  simple: { loadBalancer: { simple: 'RANDOM' } },
  warmup: {
    loadBalancer: { simple: 'ROUND_ROBIN', warmup: { duration: '30s', minimumPercent: 20, aggression: 2 } },
  },
  'warmup-old': { loadBalancer: { simple: 'ROUND_ROBIN', warmupDurationSecs: '30s' } },
  'hash-header': {
    loadBalancer: { consistentHash: { httpHeaderName: 'x-user', ringHash: { minimumRingSize: 2048 } } },
  },
  'hash-cookie': {
    loadBalancer: {
      consistentHash: {
        httpCookie: {
          name: 'user',
          path: '/a',
          ttl: '60s',
          attributes: [{ name: 'SameSite', value: 'Strict' }],
        },
        maglev: { tableSize: 101 },
      },
    },
  },
  'hash-ip': { loadBalancer: { consistentHash: { useSourceIp: true, minimumRingSize: 4096 } } },
  'hash-query': { loadBalancer: { consistentHash: { httpQueryParameterName: 'user' } } },
  distribute: {
    loadBalancer: {
      localityLbSetting: {
        enabled: true,
        distribute: [{ from: 'r1/z1/*', to: { 'r1/z1/*': 70, 'r2/z1/*': 30 } }],
      },
    },
    outlierDetection: {},
  },
  failover: {
    loadBalancer: { localityLbSetting: { enabled: true, failover: [{ from: 'r1', to: 'r2' }] } },
    outlierDetection: {},
  },
  'failover-priority': {
    loadBalancer: {
      localityLbSetting: {
        failoverPriority: ['topology.kubernetes.io/region', 'topology.kubernetes.io/zone'],
      },
    },
    outlierDetection: {},
  },
  'zone-aware': {
    loadBalancer: {
      zoneAwareLbSetting: { enabled: true, minClusterSize: 3, failover: [{ from: 'r1', to: 'r2' }] },
    },
    outlierDetection: {},
  },
  'zone-aware-priority': {
    loadBalancer: { zoneAwareLbSetting: { failoverPriority: ['version'] } },
    outlierDetection: {},
  },
  tls: {
    tls: {
      mode: 'MUTUAL',
      clientCertificate: '/c.pem',
      privateKey: '/k.pem',
      caCertificates: '/ca.pem',
      caCrl: '/crl.pem',
      subjectAltNames: ['spiffe://x/ns/a/sa/b'],
      sni: 'a.example.com',
    },
  },
  'tls-insecure': { tls: { mode: 'SIMPLE', insecureSkipVerify: true, sni: 'a.example.com' } },
  'tls-credential': { tls: { mode: 'SIMPLE', credentialName: 'client-credential', sni: 'a.example.com' } },
};
