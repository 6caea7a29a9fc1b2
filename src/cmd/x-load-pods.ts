// The proxies of a mesh directory: a sidecar or a gateway for each Pod that runs one.
import { readFileSync } from 'node:fs';
import type { PodSpec, PodStatus } from '../config/kube-types.ts';
import type { Config } from '../config/config.ts';
import { filesOf } from '../config/read-files.ts';
import { readText } from '../config/reader.ts';
import type { ProxyIdentity } from '../load/identity.ts';

/** In the order of files, and in each as they stand. Pods without an address have no proxy. */
export function identitiesIn(directory: string): readonly ProxyIdentity[] {
  const { files } = filesOf([directory]);
  return files.flatMap((file) => {
    const text = readFileSync(file, 'utf8');
    // Files of other kinds are many, and reading them takes long.
    if (!/^kind:\s*['"]?Pod\b/m.test(text)) return [];
    return readText(file, text).configs.flatMap((config) =>
      config.kind === 'Pod' ? identityOfPod(config as Config<PodSpec>) : [],
    );
  });
}

function identityOfPod(pod: Config<PodSpec>): readonly ProxyIdentity[] {
  const ip = ((pod.status ?? {}) as PodStatus).podIP ?? '';
  if (ip === '') return [];
  const isGateway = pod.annotations['inject.istio.io/templates'] === 'gateway';
  return [
    {
      type: isGateway ? 'router' : 'sidecar',
      pod: pod.name,
      namespace: pod.namespace,
      ip,
      labels: pod.labels,
      serviceAccount: pod.spec.serviceAccountName ?? 'default',
    },
  ];
}
