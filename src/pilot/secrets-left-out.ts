// Secrets that proxies ask for and do not get: nothing else says why.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { RecentlyTold } from '../base/recently-told.ts';
import { identityScope } from '../translate/secret/identity-scope.ts';
import { secretProblem } from '../translate/secret/secrets.ts';
import { typeUrls } from '../xds/types.ts';
import type { ProxyConnection } from './proxy-connection.ts';
import { unlessFailed } from './push-status.ts';
import type { Resources } from './resources/resources.ts';
import type { PilotWorld } from './world/world.ts';

/** Of one proxy no more names than this are looked at, and no more of a name is quoted. */
const namesMax = 100;
const quotedMax = 200;
/** A proxy that comes back with the same wish is no news. */
const silenceMs = 600_000;

export interface SecretsLeftOutOptions {
  readonly world: PilotWorld;
  readonly resources: Resources;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told of each name of each proxy once. */
  readonly counted: () => void;
}

/** Tells of each name once, as long as it stays so, however many replicas ask for it. */
export class SecretsLeftOut {
  readonly #options: SecretsLeftOutOptions;
  readonly #told = new RecentlyTold(silenceMs);
  readonly #known = new WeakMap<ProxyConnection, ReadonlySet<string>>();

  constructor(options: SecretsLeftOutOptions) {
    this.#options = options;
  }

  /** `SDS: namespace/account gets no "kubernetes://web": there is no Secret...`. */
  tell(connection: ProxyConnection): void {
    const { clock, logger, counted } = this.#options;
    const lines = this.#linesOf(connection);
    if (lines === undefined) return;
    const known = this.#known.get(connection);
    this.#known.set(connection, new Set(lines));
    for (const line of lines) {
      if (known?.has(line) === true) continue;
      counted();
      if (this.#told.isNews(line, clock.monotonicMs()))
        logger.warn(`${line} (asked for by ${connection.stream.id})`);
    }
  }

  /** Undefined: it asks for no secrets. */
  #linesOf({ node, stream }: ProxyConnection): readonly string[] | undefined {
    const { world, resources } = this.#options;
    const names = stream.subscriptions.get(typeUrls.secret)?.names;
    if (names === undefined) return undefined;
    const scope = unlessFailed(() => identityScope(resources.scope(node), node));
    if (scope === undefined) return undefined;
    return [...names].slice(0, namesMax).flatMap((name) => {
      const problem = unlessFailed(() => secretProblem(world, scope, name));
      const quoted = JSON.stringify(name.slice(0, quotedMax));
      return problem === undefined
        ? []
        : `SDS: ${node.namespace}/${node.serviceAccount} gets no ${quoted}: ${problem}`;
    });
  }
}
