// A version that says what a resource contains: the same after a restart, and in every control plane.
import { hash } from 'node:crypto';

/** 96 bits of SHA-256 in 16 characters: two contents of one name never meet by chance. */
const versionLength = 16;

/** Of a resource's bytes. Computed once, when it is encoded. */
export function contentVersion(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'base64url').slice(0, versionLength);
}
