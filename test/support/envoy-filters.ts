// What EnvoyFilters make of a proxy's resources, for tests.
import type { JsonObject } from '@bufbuild/protobuf';
import { messageToJson } from '../../src/api/any.ts';
import type { MeshConfig } from '../../src/config/mesh-config.ts';
import type { ProxyNode } from '../../src/model/proxy-node.ts';
import { formatFieldPath } from '../../src/model/origin.ts';
import { clusters, extensionConfigs, listeners, routes } from '../../src/translate/index.ts';
import { proxyScope } from '../../src/translate/scope.ts';
import type { World } from '../../src/translate/world.ts';
import { proxyNode, worldOfYaml } from './world.ts';

const kinds = { clusters, listeners, routes, extensionConfigs };
type KindName = keyof typeof kinds;

/** One resource of a proxy in a mesh. */
export interface PatchedResource {
  readonly json: JsonObject;
  /** `place: Kind ns/name field` of each part, in the order of the provenance. */
  readonly origins: readonly string[];
}

export class PatchedProxy {
  readonly world: World;
  readonly #node: ProxyNode;

  constructor(yaml: string, node: Partial<ProxyNode> = {}, mesh: Partial<MeshConfig> = {}) {
    this.world = worldOfYaml(yaml, mesh);
    this.#node = proxyNode(node);
  }

  names(kind: KindName): readonly string[] {
    return kinds[kind].names(this.world, proxyScope(this.world, this.#node));
  }

  /** Undefined: there is no such resource. */
  resource(kindName: KindName, name: string): PatchedResource | undefined {
    const kind = kinds[kindName];
    const input: unknown = kind.input(this.world, proxyScope(this.world, this.#node), name);
    if (input === undefined) return undefined;
    const { message, provenance } = kind.build(input as never);
    return {
      json: messageToJson(kind.schema as typeof clusters.schema, message as never) as JsonObject,
      origins: provenance.map(
        ({ at, origin }) =>
          `${at}: ${origin.kind} ${origin.namespace}/${origin.name} ${formatFieldPath(origin.fieldPath)}`,
      ),
    };
  }
}

export interface FilterText {
  readonly name?: string;
  readonly namespace?: string;
  /** YAML flow of the `match`, without its braces. */
  readonly match?: string;
  /** Further fields of the spec. */
  readonly spec?: string;
}

/** An EnvoyFilter of one patch; `value` is YAML flow. */
export function envoyFilter(applyTo: string, operation: string, value = '', more: FilterText = {}): string {
  const { name = 'patch', namespace = 'default', match = '', spec = '' } = more;
  return `
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: ${name}, namespace: ${namespace} }
spec:
${spec === '' ? '' : `  ${spec}\n`}  configPatches:
    - applyTo: ${applyTo}
      match: { ${match} }
      patch: { operation: ${operation}${value === '' ? '' : `, value: ${value}`} }
`;
}
