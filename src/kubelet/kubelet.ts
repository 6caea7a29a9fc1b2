// Runs what a store asks for as local processes, and says in another store what runs.
//
// Two stores, because a Pod that a user wrote is a wish and a Pod that runs is a fact, and both have
// the same name: `wishes` is what the user wrote, `facts` is what the mesh sees. Everything but the
// wished-for Pods passes from the one to the other unchanged.
import type { Timer } from '../base/clock.ts';
import type { Config } from '../config/config.ts';
import { configKey } from '../config/config.ts';
import type { ConfigChange, ConfigStore, SourceBatch } from '../config/store.ts';
import { bringsGateway, builtInGateway, builtInGatewayService } from './gateway.ts';
import { workloadDiagnostics } from './diagnostics.ts';
import type { ActualPod } from './plan.ts';
import { plan } from './plan.ts';
import type { LocalPod } from './pod.ts';
import type { MadePod, PodFactoryOptions, PodListener } from './pod-factory.ts';
import { PodFactory, proxyContainer } from './pod-factory.ts';
import { podConfig } from './pod-status.ts';
import type { Workload } from './workloads.ts';
import { readWorkload, readWorkloads, runsElsewhere, workloadKinds } from './workloads.ts';

export interface KubeletOptions extends PodFactoryOptions {
  /** What the user wrote. */
  readonly wishes: ConfigStore;
  /** What the mesh sees: everything that was written, but for the Pods, and the Pods that run. */
  readonly facts: ConfigStore;
  readonly listener: PodListener;
  /** Called with an exception that a subscriber of the facts threw. */
  readonly onFault: (error: unknown) => void;
  /** Below this a process of this user cannot listen: 0 for root, 1024 on most machines otherwise. */
  readonly firstOpenPort: number;
}

interface PodEntry extends MadePod {
  readonly workload: Workload;
  readonly ordinal: number;
  /** Grows with every pod. */
  readonly age: number;
}

/** Names of our sources in the store of facts. */
const sources = { passedOn: 'kubelet: as written', builtIn: 'kubelet: built in', pods: 'kubelet: pods' };
/** Changes within this time are acted upon together. */
const settleMs = 5;

export class Kubelet {
  readonly #options: KubeletOptions;
  readonly #factory: PodFactory;
  readonly #pods = new Map<string, PodEntry>();
  readonly #unsubscribes: (() => void)[] = [];
  #published: ReadonlySet<string> = new Set();
  #workloads: readonly Workload[] = [];
  #timer: Timer | undefined;
  #created = 0;
  #ending = false;

  constructor(options: KubeletOptions) {
    this.#options = options;
    this.#factory = new PodFactory(options, options.wishes);
  }

  /** Every pod that has not ended, in the order in which they were created. */
  get pods(): readonly LocalPod[] {
    return [...this.#pods.values()].map(({ pod }) => pod);
  }

  /** What is to run. */
  get workloads(): readonly Workload[] {
    return this.#workloads;
  }

  /** The pods of a workload's current template that are not going away. */
  podsOf({ key, templateHash }: Workload): readonly LocalPod[] {
    return [...this.#pods.values()]
      .filter(({ workload }) => workload.key === key && workload.templateHash === templateHash)
      .filter(({ pod }) => pod.deletionMs === undefined)
      .map(({ pod }) => pod);
  }

  /** The workloads that have not as many ready pods of their current template as they want. */
  unsettled(): readonly Workload[] {
    return this.#workloads.filter(
      (workload) => this.podsOf(workload).filter(({ ready }) => ready).length < workload.replicas,
    );
  }

  start(): void {
    const { wishes } = this.#options;
    this.#tell([
      {
        source: sources.passedOn,
        upserts: wishes.all().filter(passesOn),
        deletes: [],
        diagnostics: wishes.diagnostics(),
      },
    ]);
    this.#unsubscribes.push(
      wishes.subscribe((changes) => this.#wishesChanged(changes)),
      wishes.subscribeDiagnostics(() => this.#wishDiagnosticsChanged()),
    );
    this.#reconcile();
  }

  /** Ends everything: SIGTERM to all at once, SIGKILL after `graceMs`. Nothing is started any more. */
  async stop(graceMs: number): Promise<void> {
    this.#end();
    await Promise.all(this.pods.map((pod) => pod.end(graceMs)));
  }

  /** SIGKILL for everything. */
  kill(): void {
    this.#end();
    for (const pod of this.pods) pod.kill();
  }

  #end(): void {
    this.#ending = true;
    this.#timer?.cancel();
    for (const unsubscribe of this.#unsubscribes) unsubscribe();
  }

  /** What a reader of the facts does wrong is its own error: pods are run all the same. */
  #tell(batches: readonly SourceBatch[]): void {
    try {
      this.#options.facts.apply(batches);
    } catch (error) {
      this.#options.onFault(error);
    }
  }

  #wishesChanged(changes: readonly ConfigChange[]): void {
    const upserts: Config[] = [];
    const deletes: string[] = [];
    for (const { key, after } of changes) {
      if (after !== undefined && passesOn(after)) upserts.push(after);
      else deletes.push(key);
    }
    this.#tell([{ source: sources.passedOn, upserts, deletes }]);
    const kinds = new Set(changes.map(({ after, before }) => (after ?? before)?.kind));
    if (kinds.has('ConfigMap') || kinds.has('Secret')) this.#retryRefused();
    if (['Service', ...workloadKinds].some((kind) => kinds.has(kind))) this.#reconcileSoon();
  }

  #wishDiagnosticsChanged(): void {
    const diagnostics = this.#options.wishes.diagnostics();
    this.#tell([{ source: sources.passedOn, upserts: [], deletes: [], diagnostics }]);
  }

  /** A pod that lacked a key of a ConfigMap is made anew: it may be there now. */
  #retryRefused(): void {
    for (const { pod } of this.#pods.values()) {
      const lacks = pod.problems.some(({ problem }) =>
        problem.path.some((part) => String(part).startsWith('env')),
      );
      if (lacks && pod.deletionMs === undefined) void this.#remove(pod);
    }
  }

  #reconcileSoon(): void {
    if (this.#ending || this.#timer !== undefined) return;
    this.#timer = this.#options.clock.after(settleMs, () => {
      this.#timer = undefined;
      this.#reconcile();
    });
  }

  #reconcile(): void {
    if (this.#ending) return;
    this.#workloads = this.#readWorkloads();
    const byKey = new Map(this.#workloads.map((workload) => [workload.key, workload]));
    for (const action of plan(this.#workloads, this.#actualPods())) {
      if (action.kind === 'create') {
        const workload = byKey.get(action.workloadKey);
        if (workload !== undefined) this.#create(workload, action.ordinal);
      } else {
        const entry = this.#pods.get(action.podId);
        if (entry !== undefined) void this.#remove(entry.pod);
      }
    }
    this.#publish(byKey);
    this.#options.listener.changed();
  }

  /** The user's workloads, and the built-in gateway unless they bring one. */
  #readWorkloads(): Workload[] {
    const { wishes, rootNamespace } = this.#options;
    const workloads = readWorkloads(wishes);
    const gateway = readWorkload('Deployment', builtInGateway(rootNamespace));
    const service = builtInGatewayService(rootNamespace);
    const key = configKey(service);
    const isBuiltIn = !bringsGateway(workloads) && workloads.every((other) => other.key !== gateway.key);
    const ourService = isBuiltIn && wishes.getByKey(key) === undefined;
    this.#tell([
      { source: sources.builtIn, upserts: ourService ? [service] : [], deletes: ourService ? [] : [key] },
    ]);
    return isBuiltIn ? [gateway, ...workloads] : workloads;
  }

  #actualPods(): ActualPod[] {
    return [...this.#pods].map(([id, { pod, workload, ordinal, age }]) => ({
      id,
      workloadKey: workload.key,
      templateHash: workload.templateHash,
      ordinal,
      age,
      ready: pod.ready,
      terminating: pod.deletionMs !== undefined,
    }));
  }

  #create(workload: Workload, ordinal: number): void {
    const { listener } = this.#options;
    const mayBindGateway = [...this.#pods.values()].every(({ holdsGatewayBinds }) => !holdsGatewayBinds);
    let made: MadePod;
    try {
      made = this.#factory.make(
        { workload, ordinal, mayBindGateway },
        {
          line: (pod, container, line) => listener.line(pod, container, line),
          event: (pod, container, text, severity) => listener.event(pod, container, text, severity),
          changed: () => this.#reconcileSoon(),
        },
      );
    } catch {
      // The range is full of pods: the next one that ends makes room, and is followed by a reconcile.
      return;
    }
    this.#created++;
    const { namespace, name } = made.pod.facts;
    this.#pods.set(`${namespace}/${name}`, { ...made, workload, ordinal, age: this.#created });
    try {
      made.pod.start();
    } catch (error) {
      // The bootstrap file could not be written (a full disk): the other pods run.
      const reason = error instanceof Error ? error.message : String(error);
      listener.event(made.pod, proxyContainer, `cannot be started: ${reason}`, 'warning');
    }
  }

  async #remove(pod: LocalPod): Promise<void> {
    await pod.remove();
    this.#options.addresses.release(pod.facts.addresses);
    this.#pods.delete(`${pod.facts.namespace}/${pod.facts.name}`);
    this.#reconcileSoon();
  }

  #publish(workloads: ReadonlyMap<string, Workload>): void {
    const upserts = [...this.#pods.values()].map(({ pod, workload }) => {
      // The newest version knows where the object stands in its file now.
      const newest = workloads.get(workload.key);
      const current = newest?.templateHash === workload.templateHash ? newest : workload;
      return podConfig(pod, current);
    });
    const keys = new Set(upserts.map(configKey));
    const deletes = [...this.#published].filter((key) => !keys.has(key));
    this.#published = keys;
    const { firstOpenPort } = this.#options;
    const diagnostics = [...workloads.values()].flatMap((workload) =>
      workloadDiagnostics(workload, this.podsOf(workload), firstOpenPort),
    );
    this.#tell([{ source: sources.pods, upserts, deletes, diagnostics }]);
  }
}

/** Pods that a user wrote are ours to run; those that say where they run are facts. */
function passesOn(config: Config): boolean {
  return config.kind !== 'Pod' || runsElsewhere(config);
}
