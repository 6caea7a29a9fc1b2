// The changes whose cost the scenarios of xDS measure, as files of the mesh before and after.
import { addressIn } from '../src/load/mesh/shape.ts';
import type { Bed } from './xds-bed.ts';
import type { LoadFile } from './load-process.ts';

export interface MeshChange {
  readonly name: string;
  /** `turn` counts from 0; odd turns undo what even ones do. */
  files(bed: Bed, turn: number): readonly LoadFile[];
}

/** A service and its namespace, as the generated mesh has them with 20 namespaces. */
export function folderOf(service: number, namespaces = 20): string {
  return `ns-${service % namespaces}`;
}

/** A text in a file of the mesh, replaced in even turns and put back in odd ones. */
export function replaced(
  bed: Bed,
  turn: number,
  path: string,
  from: string,
  to: string,
): readonly LoadFile[] {
  const text = bed.original(path);
  if (!text.includes(from)) throw new Error(`${path} does not contain ${from}`);
  return [{ path, text: turn % 2 === 0 ? text.replace(from, to) : text }];
}

/** A file that is there in even turns alone. */
function present(turn: number, path: string, text: string): readonly LoadFile[] {
  return [turn % 2 === 0 ? { path, text } : { path }];
}

export function podYaml(service: number, name: string, ip: string, namespace = folderOf(service)): string {
  return `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  namespace: ${namespace}
  labels:
    app: svc-${service}
    version: v1
    istio-locality: region-1.zone-a
    security.istio.io/tlsMode: istio
spec:
  serviceAccountName: svc-${service}
  containers: [{ name: app, image: 'example/app:1', ports: [{ name: http, containerPort: 8080 }] }]
status: { phase: Running, podIP: ${ip}, conditions: [{ type: Ready, status: 'True' }] }
`;
}

export const virtualService: MeshChange = {
  name: 'virtual_service',
  files: (bed, turn) => {
    // Of any two services one has routes, at the least.
    const service = 2 * Math.floor(turn / 2) + 1;
    const path = `${folderOf(service)}/svc-${service}-routes.yaml`;
    return replaced(bed, turn, path, 'timeout: 5s', 'timeout: 15s');
  },
};

export const endpoint: MeshChange = {
  name: 'endpoint',
  files: (_bed, turn) => {
    const service = 100 + Math.floor(turn / 2);
    const name = `svc-${service}-more`;
    return present(turn, `${folderOf(service)}/${name}.yaml`, podYaml(service, name, addressIn(13, service)));
  },
};

export const service: MeshChange = {
  name: 'service',
  files: (_bed, turn) =>
    present(
      turn,
      'ns-3/new.yaml',
      `apiVersion: v1
kind: Service
metadata: { name: new-${turn}, namespace: ns-3 }
spec:
  clusterIP: ${addressIn(11, 900_000 + turn)}
  selector: { app: svc-3 }
  ports: [{ name: http, port: 80, targetPort: 8080 }]
`,
    ),
};

export const destinationRule: MeshChange = {
  name: 'destination_rule_for_all',
  files: (_bed, turn) =>
    present(
      turn,
      'all.yaml',
      `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: all, namespace: istio-system }
spec:
  host: '*.svc.cluster.local'
  trafficPolicy: { connectionPool: { tcp: { maxConnections: ${1000 + turn} } } }
`,
    ),
};

export const meshConfig: MeshChange = {
  name: 'mesh_config',
  files: (_bed, turn) => [
    {
      path: 'mesh-config.yaml',
      text: `apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data:
  mesh: |
    connectTimeout: ${turn % 2 === 0 ? 7 : 10}s
`,
    },
  ],
};
