// What an analyzer is: a name, what it asks for, and a look at all objects.
import type { FieldPath } from '../model/origin.ts';
import type { Diagnostic, Position } from '../config/config.ts';
import type { MessageType, Saying } from './messages.ts';
import type { MeshSettings } from './mesh-settings.ts';
import type { AnalysisObject, Objects } from './object.ts';

export interface Analyzer {
  /** Istio's name of it, as `--analyzer` takes it. */
  readonly name: string;
  /** One sentence for `--list-analyzers`. */
  readonly description: string;
  /** Kinds without any of which there is nothing to compare with: it is skipped where the files hold none. */
  readonly needs?: readonly string[];
  readonly run: (context: AnalysisContext) => void;
}

/** What was found wrong while an object was read, and the object. */
export interface Finding {
  readonly diagnostic: Diagnostic;
  readonly object: AnalysisObject;
}

export interface AnalysisContext {
  readonly objects: Objects;
  /** What reading found: structure, Istio's rules, what is not built yet. */
  readonly findings: readonly Finding[];
  readonly mesh: MeshSettings;
  /** Milliseconds since the epoch: certificates run out. */
  readonly nowMs: number;
  /** Says something of an object, at a field of it. */
  readonly report: (saying: Saying, object: AnalysisObject, ...path: FieldPath) => void;
}

/** Something said of an object. */
export interface Message {
  readonly type: MessageType;
  readonly text: string;
  readonly object: AnalysisObject;
  /** Undefined where no file holds the object. */
  readonly position: Position | undefined;
}
