// Secrets and ConfigMaps as certificates: read and judged once, whoever asks; what was good stays until something
// good comes.
import type { Collection, Derived, Graph } from '../../collections/index.ts';
import type { Config } from '../../config/config.ts';
import { configKey, formatDiagnostic } from '../../config/config.ts';
import type { CaEntries, Entries, EntryProblem, PairEntries } from '../../config/credentials.ts';
import {
  configMapEntries,
  isProblem,
  readKeyPair,
  readTrustedCa,
  secretEntries,
} from '../../config/credentials.ts';
import type { ConfigMap, Secret } from '../../config/kube-types.ts';
import type { KeyPair, TrustedCa } from '../../model/credential.ts';
import type { Origin } from '../../model/origin.ts';

export interface CredentialsOptions {
  readonly graph: Graph;
  readonly input: (kind: 'Secret' | 'ConfigMap') => Collection<Config>;
  /** Wall time in milliseconds; undefined: certificates are taken whatever their dates. */
  readonly nowMs?: (() => number) | undefined;
  /** Told of an object that was asked for and cannot be used, each time that it is read anew. */
  readonly complain?: ((line: string) => void) | undefined;
}

interface Key {
  readonly kind: 'Secret' | 'ConfigMap';
  readonly namespace: string;
  readonly name: string;
}

/** All methods are recorded reads. */
export class Credentials {
  readonly #options: CredentialsOptions;
  readonly #pairs: Derived<Key, { readonly found: KeyPair | undefined }>;
  readonly #authorities: Derived<Key, { readonly found: TrustedCa | undefined }>;

  constructor(options: CredentialsOptions) {
    this.#options = options;
    this.#pairs = this.#derive('key-pair', readKeyPair);
    this.#authorities = this.#derive('trusted-ca', readTrustedCa);
  }

  has(namespace: string, name: string): boolean {
    return this.#options.input('Secret').get(configKey({ kind: 'Secret', namespace, name })) !== undefined;
  }

  keyPair(namespace: string, name: string): KeyPair | undefined {
    return this.#pairs.get({ kind: 'Secret', namespace, name }).found;
  }

  trustedCa(kind: 'Secret' | 'ConfigMap', namespace: string, name: string): TrustedCa | undefined {
    return this.#authorities.get({ kind, namespace, name }).found;
  }

  /** Dates are looked at when an object is read: no time that passes takes away what proxies have. */
  #derive<Read extends PairEntries | CaEntries>(
    name: string,
    read: (entries: Entries, nowMs?: number) => Read | EntryProblem,
  ): Derived<Key, { readonly found: (Read & { readonly origin: Origin }) | undefined }> {
    const { graph, input, nowMs } = this.#options;
    return graph.derived<Key, { readonly found: (Read & { readonly origin: Origin }) | undefined }>({
      name,
      key: (key: Key) => configKey(key),
      compute: (key: Key, previous) => {
        const config = input(key.kind).get(configKey(key));
        if (config === undefined) return { found: undefined };
        const found = read(entriesOf(config), nowMs?.());
        if (!isProblem(found)) return { found: { ...found, origin: { ...key, fieldPath: [] } } };
        this.#complain(config, found, previous?.found !== undefined);
        return previous ?? { found: undefined };
      },
    });
  }

  #complain(config: Config, { entry, message }: EntryProblem, hasPrevious: boolean): void {
    const part = entry === undefined ? undefined : partOf(config, entry);
    const fieldPath = part === undefined || entry === undefined ? [] : [part, entry];
    const next = hasPrevious ? 'the last good one stays in force' : 'it is not sent to proxies';
    this.#options.complain?.(
      formatDiagnostic({
        severity: 'warning',
        code: 'unusable-credential',
        message: `${message}; ${next}`,
        position: config.locate(fieldPath),
        object: config,
        fieldPath,
      }),
    );
  }
}

function entriesOf({ kind, spec }: Config): Entries {
  return kind === 'Secret' ? secretEntries(spec as Secret) : configMapEntries(spec as ConfigMap);
}

/** Where the entry stands that counts. */
function partOf({ spec }: Config, entry: string): string | undefined {
  const parts = spec as Readonly<Record<string, Readonly<Record<string, unknown>> | undefined>>;
  return ['stringData', 'data', 'binaryData'].find((part) => Object.hasOwn(parts[part] ?? {}, entry));
}
