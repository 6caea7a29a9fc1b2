// The part of MeshConfig that says how listeners read paths, and what they log.
import type { MeshConfig, PathNormalization } from './mesh-config.ts';
import type { Schema } from './schema.ts';

/** As written, after its structure was found right. */
export interface WrittenListeners {
  readonly pathNormalization?: { readonly normalization?: 'DEFAULT' | PathNormalization };
  readonly disableEnvoyListenerLog?: boolean;
}

export const listenerSchemas: Readonly<Record<string, Schema>> = {
  pathNormalization: {
    type: 'object',
    required: [],
    properties: {
      normalization: {
        type: 'string',
        enum: ['DEFAULT', 'NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'],
      },
    },
  },
  disableEnvoyListenerLog: { type: 'boolean' },
};

export function listenersOverDefaults(
  mesh: WrittenListeners,
  base: MeshConfig,
): Pick<MeshConfig, 'pathNormalization' | 'disableListenerLog'> {
  const { normalization } = mesh.pathNormalization ?? {};
  return {
    pathNormalization:
      normalization === undefined
        ? base.pathNormalization
        : normalization === 'DEFAULT'
          ? 'BASE'
          : normalization,
    disableListenerLog: mesh.disableEnvoyListenerLog ?? base.disableListenerLog,
  };
}
