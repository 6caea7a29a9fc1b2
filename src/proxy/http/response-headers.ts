// What the connection manager does to the headers of every response (inventory D4.04).
import type { HeaderBlock } from './header-block.ts';
import { nameIds } from './names.ts';
import type { HttpStream } from './stream.ts';

const H = nameIds;

/** Drops hop-by-hop headers; sets date if absent, server as configured, via and the request id if asked for. */
export function prepareResponse(stream: HttpStream, headers: HeaderBlock): void {
  const { manager } = stream.connection;
  const { settings } = manager;
  if (!headers.has(H.date)) headers.add('date', manager.dateText());
  if (settings.serverHeader === 'overwrite') headers.setKnown(H.server, settings.serverName);
  else if (settings.serverHeader === 'append-if-absent' && !headers.has(H.server))
    headers.add('server', settings.serverName);
  if (headers.count > 0) {
    if (stream.upgrade === undefined || !headers.has(H.upgrade)) {
      headers.removeKnown(H.connection);
      headers.removeKnown(H.upgrade);
    }
    headers.removeKnown(H['transfer-encoding']);
    headers.removeKnown(H['keep-alive']);
    headers.removeKnown(H['proxy-connection']);
  }
  if (settings.requestIdInResponse && stream.info.requestId !== undefined)
    headers.setKnown(H['x-request-id'], stream.info.requestId);
  if (settings.via !== '') {
    const via = headers.known(H.via);
    headers.setKnown(H.via, via === undefined ? settings.via : `${via}, ${settings.via}`);
  }
}
