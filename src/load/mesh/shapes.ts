// Every shape of a synthetic mesh, by name.
import { kubernetes } from './kubernetes.ts';
import { serviceEntryShapes } from './service-entries.ts';
import type { MeshShape } from './shape.ts';

export const meshShapes: readonly MeshShape[] = [kubernetes, ...serviceEntryShapes];
