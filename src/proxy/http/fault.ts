// The fault filter: a delay, then an abort, each to a share of requests (inventory D5.02).
import type { FaultSettings } from '../router/compiled.ts';
import { clusterName } from '../router/match.ts';
import { isGrpcRequest } from './local-reply.ts';
import { flagBits } from '../stream-info.ts';
import type { HttpStream } from './stream.ts';

/** True if the request stops here: it was aborted, or goes on after a delay by itself. */
export function startFault(stream: HttpStream, fault: FaultSettings): boolean {
  if (!applies(stream, fault)) return false;
  const { manager } = stream.connection;
  const { activeFaults, overflow, delaysInjected } = manager.stats.fault;
  if (fault.activeMax !== undefined && activeFaults.value >= fault.activeMax) {
    overflow.inc();
    return false;
  }
  const { delay } = fault;
  if (delay === undefined || stream.random() >= delay.share) return abort(stream, fault);
  delaysInjected.inc();
  stream.info.responseFlags |= flagBits.DI;
  if (!stream.faultActive) {
    stream.faultActive = true;
    activeFaults.inc();
  }
  stream.delayThen(delay.delayMs, () => abort(stream, fault));
  return true;
}

function abort(stream: HttpStream, fault: FaultSettings): boolean {
  const settings = fault.abort;
  if (settings === undefined || stream.random() >= settings.share) return false;
  stream.connection.manager.stats.fault.abortsInjected.inc();
  stream.respondLocally(
    settings.httpStatus,
    'fault filter abort',
    'fault_filter_abort',
    flagBits.FI,
    undefined,
    settings.grpcStatus === undefined || !isGrpcRequest(stream.headers)
      ? undefined
      : (headers) => headers.set('grpc-status', String(settings.grpcStatus)),
  );
  return true;
}

function applies(stream: HttpStream, fault: FaultSettings): boolean {
  if (fault.upstreamCluster !== '') {
    const action = stream.route?.action;
    if (action?.kind !== 'forward') return false;
    if (clusterName(action.target, stream.weighted, stream) !== fault.upstreamCluster) return false;
  }
  return fault.headers.every((test) => test(stream));
}
