// The rooms of src/ and the one law of direction between them: what each may import, and why not more.

export interface Room {
  readonly may: readonly string[];
  /** Printed when an import breaks the law. */
  readonly reason: string;
  /** Folders of other rooms (`kube`, `proxy/matchers`) that it may also import. */
  readonly alsoFolders?: readonly string[];
}

const everyRoomBelowPilot = [
  'api',
  'base',
  'ca',
  'collections',
  'config',
  'gateway-api',
  'ingress',
  'inject',
  'kube',
  'model',
  'registry',
  'translate',
  'xds',
];

export const rooms: Readonly<Record<string, Room>> = {
  base: { may: [], reason: 'base is what every room stands on: it imports node alone' },
  api: { may: [], reason: 'api is generated: it imports nothing of ours' },
  model: { may: ['api', 'base'], reason: 'a noun does not know who stores it' },
  config: { may: ['api', 'base', 'model'], reason: 'files and tests parse without a cluster' },
  collections: { may: ['base'], reason: 'the engine must not know what it carries' },
  analysis: { may: ['api', 'base', 'config', 'model'], reason: 'analyze works offline' },
  kube: {
    may: ['api', 'base', 'collections', 'config'],
    reason: 'kube stores objects; it does not know what they mean',
  },
  registry: {
    may: ['api', 'base', 'collections', 'config', 'model'],
    alsoFolders: ['kube'],
    reason: 'a registry says which services exist, not how proxies reach them',
  },
  ingress: {
    may: ['api', 'base', 'config', 'model'],
    reason: 'a conversion of objects to objects: the same offline as in pilot',
  },
  'gateway-api': {
    may: ['api', 'base', 'config', 'model'],
    reason: 'a conversion of objects to objects: the same offline as in pilot',
  },
  translate: {
    may: ['api', 'base', 'config', 'model'],
    reason: 'purity is the cache: no store, no clock, no chance',
  },
  xds: { may: ['api', 'base'], reason: 'the protocol knows names, versions and Any, nothing of meaning' },
  ca: { may: ['api', 'base'], reason: 'a CA issues certificates for whoever asks rightly' },
  pilot: { may: everyRoomBelowPilot, reason: 'the control plane does not know the proxy or the tools' },
  inject: {
    may: ['api', 'base', 'config', 'model', 'kube'],
    reason: 'injection is a pure function of pod and values',
  },
  proxy: { may: ['api', 'base', 'xds'], reason: 'the data plane must obey any control plane' },
  agent: {
    may: ['api', 'base', 'config', 'model', 'xds', 'ca'],
    reason: 'the agent starts a process, ours or Envoy',
  },
  kubelet: {
    may: ['api', 'base', 'config', 'model', 'agent'],
    reason: 'the kubelet runs pods as local processes; what their traffic does is not its business',
  },
  load: {
    may: ['api', 'base', 'xds'],
    reason: 'a load generator plays proxies before any control plane: it must not share what ours knows',
  },
  echo: { may: ['base'], reason: 'the test server must not know the mesh that it tests' },
  istioctl: {
    may: ['api', 'base', 'model', 'config', 'analysis', 'inject', 'kube', 'xds'],
    reason: 'the tools read what pilot and proxy expose, never their insides',
  },
  explain: {
    may: ['api', 'base', 'config', 'model', 'translate', 'istioctl'],
    alsoFolders: [
      'proxy/config-error.ts',
      'proxy/http',
      'proxy/io',
      'proxy/listener',
      'proxy/matchers',
      'proxy/router',
    ],
    reason: 'explain asks the same engine as the data path, never a second reading of the YAML',
  },
  cmd: {
    may: [
      'agent',
      'analysis',
      'api',
      'base',
      'collections',
      'config',
      'echo',
      'explain',
      'istioctl',
      'kubelet',
      'load',
      'model',
      'pilot',
      'proxy',
      'registry',
      'xds',
    ],
    reason: 'a command starts rooms; logic lives in them',
  },
};
