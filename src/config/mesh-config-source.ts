// The mesh's settings as they are now: from the ConfigMap `istio` of a store, or from a file that is watched.
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { Clock, Timer } from '../base/clock.ts';
import type { Config, Diagnostic } from './config.ts';
import type { ConfigMap } from './kube-types.ts';
import type { MeshConfig } from './mesh-config.ts';
import { defaultMeshConfig } from './mesh-config.ts';
import { readMeshConfig } from './mesh-config-reader.ts';
import { readMeshNetworks } from './mesh-networks.ts';
import type { ConfigStore } from './store.ts';
import { TreeWatcher } from './watch-tree.ts';
import { DocumentText } from './yaml-document.ts';

export interface MeshConfigSourceOptions {
  /** Where ConfigMap `istio` is looked for, and where complaints about the file go. */
  readonly store: ConfigStore;
  readonly clock: Clock;
  /** Called with the settings whenever they have changed, not for those that `start` returns. */
  readonly onChange: (meshConfig: MeshConfig) => void;
  /** A MeshConfig in YAML (`--mesh-config`); it wins over the ConfigMap. */
  readonly file?: string;
  /** The namespace of ConfigMap `istio`. Default: istio-system. */
  readonly namespace?: string;
}

/** How long a file that cannot be read or is wrong may take to become right before that is said. */
const settleMs = 50;

/** Settings that are wrong are reported, and the last good ones stay in force. */
export class MeshConfigSource {
  readonly #options: MeshConfigSourceOptions;
  readonly #namespace: string;
  #watcher: TreeWatcher | undefined;
  #unsubscribe: (() => void) | undefined;
  #settle: Timer | undefined;
  #current: MeshConfig = defaultMeshConfig;

  constructor(options: MeshConfigSourceOptions) {
    this.#options = options;
    this.#namespace = options.namespace ?? defaultMeshConfig.rootNamespace;
  }

  current(): MeshConfig {
    return this.#current;
  }

  /** Returns the settings as they are now, and watches from then on. */
  start(): MeshConfig {
    const { file, store, clock } = this.#options;
    if (file === undefined) {
      this.#unsubscribe = store.subscribe((changes) => {
        if (changes.some(({ key }) => key === `ConfigMap/${this.#namespace}/istio`))
          this.#take(this.#fromStore());
      });
      this.#current = this.#fromStore() ?? defaultMeshConfig;
    } else {
      this.#watcher = new TreeWatcher({ root: file, clock, onTouched: () => this.#look(false) });
      this.#watcher.start();
      this.#current = this.#fromFile(file, true) ?? defaultMeshConfig;
    }
    return this.#current;
  }

  close(): void {
    this.#unsubscribe?.();
    this.#watcher?.close();
    this.#settle?.cancel();
  }

  #take(meshConfig: MeshConfig | undefined): void {
    if (meshConfig === undefined || isDeepStrictEqual(meshConfig, this.#current)) return;
    this.#current = meshConfig;
    this.#options.onChange(meshConfig);
  }

  /** The store holds only ConfigMaps that were found right (semantic/kube.ts). */
  #fromStore(): MeshConfig | undefined {
    const config = this.#options.store.get('ConfigMap', this.#namespace, 'istio') as
      | Config<ConfigMap>
      | undefined;
    const { mesh = '', meshNetworks = '' } = config?.spec.data ?? {};
    const { meshConfig } = readMeshConfig(mesh);
    const { networks } = readMeshNetworks(meshNetworks);
    return meshConfig === undefined || networks === undefined ? undefined : { ...meshConfig, networks };
  }

  #look(isFinal: boolean): void {
    const { file, clock } = this.#options;
    if (file === undefined) return;
    const meshConfig = this.#fromFile(file, isFinal);
    this.#settle?.cancel();
    this.#settle = undefined;
    if (meshConfig !== undefined) this.#take(meshConfig);
    else if (!isFinal) this.#settle = clock.after(settleMs, () => this.#look(true));
  }

  /** Undefined for a file that is missing, empty or wrong; `isFinal`: which is then said. */
  #fromFile(file: string, isFinal: boolean): MeshConfig | undefined {
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const position = { file, line: 1, column: 1 };
      const message = `cannot be read (${reason}); the last good settings stay in force`;
      if (isFinal)
        this.#report([{ severity: 'error', code: 'unreadable', message, position, fieldPath: [] }]);
      return undefined;
    }
    // A moment in the middle of a save, or what a full disk leaves of one.
    if (text === '') {
      const position = { file, line: 1, column: 1 };
      const message = 'is empty; the last good settings stay in force';
      if (isFinal) this.#report([{ severity: 'error', code: 'emptied', message, position, fieldPath: [] }]);
      return undefined;
    }
    const { meshConfig, findings, syntaxOffset } = readMeshConfig(text);
    if (meshConfig === undefined && !isFinal) return undefined;
    const document = new DocumentText(file, 1, text);
    this.#report(
      findings.map((finding) => ({
        ...finding,
        position:
          syntaxOffset === undefined ? document.locate(finding.fieldPath) : document.positionAt(syntaxOffset),
      })),
    );
    return meshConfig;
  }

  #report(diagnostics: readonly Diagnostic[]): void {
    const source = `mesh-config ${this.#options.file ?? ''}`;
    this.#options.store.apply([{ source, upserts: [], deletes: [], diagnostics }]);
  }
}
