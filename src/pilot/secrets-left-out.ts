// Secrets that proxies ask for and do not get: nothing else says why.
import type { Logger } from '../base/logger.ts';
import { RecentlyTold } from '../base/recently-told.ts';
import { identityScope } from '../translate/secret/identity-scope.ts';
import { secretProblem } from '../translate/secret/secrets.ts';
import { typeUrls } from '../xds/types.ts';
import type { ProxyConnection } from './proxy-connection.ts';
import { unlessFailed } from './push-status.ts';
import type { Resources } from './resources.ts';
import type { PilotWorld } from './world.ts';

/** Of one proxy no more names than this are looked at, and no more of a name is quoted. */
const namesMax = 100;
const quotedMax = 200;
/** A proxy that comes back with the same wish is no news. */
const silenceMs = 600_000;

/** Tells of each name once, as long as it stays so, however many replicas ask for it. */
export class SecretsLeftOut {
  readonly #told = new RecentlyTold(silenceMs);
  readonly #known = new WeakMap<ProxyConnection, ReadonlySet<string>>();

  /** `SDS: namespace/account gets no "kubernetes://web": there is no Secret...`. */
  tell(
    connection: ProxyConnection,
    world: PilotWorld,
    resources: Resources,
    logger: Logger,
    nowMs: number,
  ): void {
    const { node, stream } = connection;
    const names = stream.subscriptions.get(typeUrls.secret)?.names;
    if (names === undefined) return;
    const scope = unlessFailed(() => identityScope(resources.scope(node), node));
    if (scope === undefined) return;
    const lines = [...names].slice(0, namesMax).flatMap((name) => {
      const problem = unlessFailed(() => secretProblem(world, scope, name));
      const quoted = JSON.stringify(name.slice(0, quotedMax));
      return problem === undefined
        ? []
        : `SDS: ${node.namespace}/${node.serviceAccount} gets no ${quoted}: ${problem}`;
    });
    const known = this.#known.get(connection);
    this.#known.set(connection, new Set(lines));
    for (const line of lines) {
      if (known?.has(line) === true) continue;
      if (this.#told.isNews(line, nowMs)) logger.warn(`${line} (asked for by ${stream.id})`);
    }
  }
}
