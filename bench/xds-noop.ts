// Scenario xds-noop: events that change nothing for any proxy. None may send a byte; what they cost is told.
import type { BenchOptions, Measurement, Scenario } from './scenario.ts';
import type { Cost } from './xds-bed.ts';
import { Bed } from './xds-bed.ts';
import type { MeshChange } from './xds-changes.ts';
import { folderOf } from './xds-changes.ts';

export const xdsNoop: Scenario = {
  name: 'xds-noop',
  about:
    'status updates, annotations that nobody reads, files touched, leases: pushes and bytes, which should be 0',
  run,
};

const podFile = (service: number): string => `${folderOf(service)}/svc-${service}-pods.yaml`;
const serviceFile = (service: number): string => `${folderOf(service)}/svc-${service}.yaml`;

/** Each of these is done twenty times, for twenty services. */
const repeats = 20;

const events: readonly MeshChange[] = [
  {
    name: 'touched',
    files: (bed, turn) => [{ path: serviceFile(turn), text: bed.original(serviceFile(turn)) }],
  },
  {
    name: 'comment',
    files: (bed, turn) => [
      { path: serviceFile(turn), text: `# as it was before\n\n${bed.original(serviceFile(turn))}` },
    ],
  },
  {
    name: 'pod_status',
    files: (bed, turn) => [
      {
        path: podFile(turn),
        text: bed
          .original(podFile(turn))
          .replaceAll(
            'phase: Running',
            "phase: Running\n  startTime: '2026-01-01T00:00:00Z'\n  hostIP: 192.0.2.1",
          ),
      },
    ],
  },
  {
    name: 'pod_annotation',
    files: (bed, turn) => [
      {
        path: podFile(turn),
        text: bed
          .original(podFile(turn))
          .replaceAll('metadata:\n', `metadata:\n  annotations: { example.com/checked: 'at ${turn}' }\n`),
      },
    ],
  },
  {
    name: 'service_annotation',
    files: (bed, turn) => [
      {
        path: serviceFile(turn),
        text: bed
          .original(serviceFile(turn))
          .replace('metadata: {', `metadata: { annotations: { example.com/owner: 'team ${turn}' },`),
      },
    ],
  },
  {
    name: 'virtual_service_status',
    files: (bed, turn) => {
      const service = 2 * turn + 1;
      const path = `${folderOf(service)}/svc-${service}-routes.yaml`;
      const text = bed.original(path).replace('spec:', `status: { observedGeneration: ${turn + 1} }\nspec:`);
      return [{ path, text }];
    },
  },
  {
    name: 'lease',
    files: (_bed, turn) => [
      {
        path: 'lease.yaml',
        text: `apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: { name: leader, namespace: istio-system }
spec: { holderIdentity: holder-${turn}, leaseDurationSeconds: 15 }
`,
      },
    ],
  },
  {
    name: 'secret_of_others',
    files: (_bed, turn) => [
      {
        path: 'secret.yaml',
        text: `apiVersion: v1
kind: Secret
metadata: { name: other, namespace: ns-1 }
stringData: { token: 'number ${turn}' }
`,
      },
    ],
  },
];

async function run(options: BenchOptions): Promise<Measurement> {
  const metrics: Record<string, number> = {};
  const [proxies = 500] = options.proxies;
  for (const dialect of options.dialects) {
    // oxlint-disable-next-line no-await-in-loop -- one control plane at a time
    const bed = await Bed.start({ dialect, proxies, mesh: { sidecars: true } });
    try {
      const before = `${dialect}_${proxies}_proxies`;
      for (const event of events.filter(({ name }) => name.includes(options.only))) {
        // oxlint-disable-next-line no-await-in-loop -- one kind after the other
        const { cpuSeconds, pushes, report } = await repeated(bed, event);
        metrics[`${before}_${event.name}_pushes`] = pushes;
        metrics[`${before}_${event.name}_sent_bytes`] = report.bytes;
        metrics[`${before}_${event.name}_cpu_ms`] = (cpuSeconds / repeats) * 1000;
        options.log(
          `${before} ${event.name}: ${pushes} pushes, ${report.bytes} bytes, ${((cpuSeconds / repeats) * 1000).toFixed(1)} ms of processor each`,
        );
      }
      // Every file of the mesh at once, as a tool does that writes all it has again and again.
      // oxlint-disable-next-line no-await-in-loop -- after the others
      const resync = await bed.change(bed.paths().map((path) => ({ path, text: bed.original(path) })));
      metrics[`${before}_resync_pushes`] = resync.pushes;
      metrics[`${before}_resync_sent_bytes`] = resync.report.bytes;
      metrics[`${before}_resync_cpu_ms`] = resync.cpuSeconds * 1000;
      options.log(
        `${before} resync of ${bed.paths().length} files: ${resync.pushes} pushes, ${resync.report.bytes} bytes, ${(resync.cpuSeconds * 1000).toFixed(0)} ms of processor`,
      );
    } finally {
      // oxlint-disable-next-line no-await-in-loop -- before the next
      await bed.stop();
    }
  }
  return { metrics, ratios: {}, missing: [] };
}

/** One after the other, each long enough after the last that it is not merged with it. */
function repeated(bed: Bed, event: MeshChange): Promise<Cost> {
  return bed.cost(async () => {
    for (let turn = 0; turn < repeats; turn++) {
      const files = event.files(bed, turn);
      // oxlint-disable-next-line no-await-in-loop -- the pace
      await (turn === 0 ? bed.begin(files) : bed.write(files));
      // oxlint-disable-next-line no-await-in-loop -- the pace
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  });
}

/** Longer than the control plane's merge window. */
const pauseMs = 150;
