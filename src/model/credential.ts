// What Secrets and ConfigMaps hold for TLS, read and found good.
import type { Origin } from './origin.ts';

/** A certificate and its key. */
export interface KeyPair {
  /** PEM, the certificate itself first. */
  readonly certificateChain: string;
  /** PEM. */
  readonly privateKey: string;
  /** DER of an OCSP response, in base64. */
  readonly ocspStaple?: string;
  readonly origin: Origin;
}

/** Certificates by which others are judged. */
export interface TrustedCa {
  /** PEM. */
  readonly certificates: string;
  /** PEM. */
  readonly revocationList?: string;
  readonly origin: Origin;
}
