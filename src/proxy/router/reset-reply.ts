// The one table from an upstream failure to what the client and the log are told (inventory D4.10, D7.03).
import { flagBits } from '../stream-info.ts';
import type { ResetReason } from '../upstream/upstream-request.ts';

export interface ResetReply {
  readonly status: number;
  readonly body: string;
  readonly details: string;
  readonly flags: number;
}

const flagsOf: Readonly<Record<ResetReason, number>> = {
  'remote connection failure': flagBits.UF,
  'connection timeout': flagBits.UF,
  'connection termination': flagBits.UC,
  overflow: flagBits.UO,
  'protocol error': flagBits.UPE,
  'local reset': flagBits.LR,
  'remote reset': flagBits.UR,
  'remote refused stream reset': flagBits.UR,
};

/** `transportReason` is the text of the transport failure, empty if there is none. */
export function localReplyOf(reason: ResetReason, transportReason: string, retried: boolean): ResetReply {
  // The transport's reason goes to the log only: Envoy stopped showing it to clients.
  const detail = `${reason}${transportReason === '' ? '' : `|${transportReason}`}`.replaceAll(' ', '_');
  return {
    status: reason === 'protocol error' ? 502 : 503,
    body: `upstream connect error or disconnect/reset before headers. ${retried ? 'retried and the latest ' : ''}reset reason: ${reason}`,
    details: `upstream_reset_before_response_started{${detail}}`,
    flags: flagsOf[reason],
  };
}
