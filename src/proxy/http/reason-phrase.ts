// Reason phrases of status lines, as Envoy writes them; what an upstream wrote is not passed on.
import { STATUS_CODES } from 'node:http';

const phrases: string[] = [];
/** Codes that Node knows and Envoy calls Unknown. */
const unknownToEnvoy: ReadonlySet<string> = new Set(['418', '451', '509']);
for (const [code, phrase] of Object.entries(STATUS_CODES)) {
  if (!unknownToEnvoy.has(code) && phrase !== undefined) phrases[Number(code)] = phrase;
}

/** `Unknown` for a code without one. */
export function reasonPhrase(status: number): string {
  return phrases[status] ?? 'Unknown';
}
