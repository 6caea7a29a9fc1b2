// YAML and a request in, the trace of `explain` out.
import { meshOfStore } from '../../src/cmd/explain-files.ts';
import { ConfigStore } from '../../src/config/store.ts';
import { explain } from '../../src/explain/explain.ts';
import { findClient } from '../../src/explain/from.ts';
import type { RequestOptions } from '../../src/explain/request.ts';
import { parseRequest } from '../../src/explain/request.ts';
import type { Trace } from '../../src/explain/trace.ts';
import { configsOfYaml } from './world.ts';

export interface Question extends RequestOptions {
  readonly from: string;
  readonly namespace?: string;
  readonly pick?: string;
  readonly as?: 'kubernetes' | 'up';
}

export async function explained(yaml: string, question: Question): Promise<Trace> {
  const store = new ConfigStore();
  store.apply([{ source: 'in.yaml', upserts: configsOfYaml(yaml), deletes: [] }]);
  const { mesh } = meshOfStore(store, { as: question.as ?? 'kubernetes', meshConfigFile: undefined });
  const from = findClient(mesh, question.from, question.namespace);
  return explain({ mesh, from, request: parseRequest(question), pick: question.pick });
}

/** A Service `name` on one port, and a Deployment of each version behind it. */
export function workloadYaml(
  name: string,
  versions: readonly string[],
  port = 80,
  portName = 'http',
): string {
  const deployments = versions.map(
    (version) => `apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}-${version} }
spec:
  selector: { matchLabels: { app: ${name}, version: ${version} } }
  template:
    metadata: { labels: { app: ${name}, version: ${version} } }
    spec: { containers: [{ name: app, image: app }] }`,
  );
  const service = `apiVersion: v1
kind: Service
metadata: { name: ${name} }
spec: { selector: { app: ${name} }, ports: [{ name: ${portName}, port: ${port}, targetPort: 8080 }] }`;
  return [service, ...deployments].join('\n---\n');
}
