// Where a certificate or a key stands: in the configuration or in a file.
import { readFileSync } from 'node:fs';
import type { DataSource } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import { ConfigError } from '../config-error.ts';

/** Such files are small; more than this is a mistake. */
const bytesMax = 1024 * 1024;

/** Undefined where nothing is said. Throws ConfigError; what it says never holds the content. */
export function readDataSource(source: DataSource | undefined, path: string): string | undefined {
  const specifier = source?.specifier;
  switch (specifier?.case) {
    case 'inlineString':
      return checked(specifier.value, `${path}.inline_string`);
    case 'inlineBytes':
      return checked(Buffer.from(specifier.value).toString('latin1'), `${path}.inline_bytes`);
    case 'filename': {
      let content: string;
      try {
        content = readFileSync(specifier.value, 'latin1');
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        throw new ConfigError(`${path}.filename`, `Invalid path: ${specifier.value} (${code ?? ''})`);
      }
      return checked(content, `${path}.filename`);
    }
    case 'environmentVariable':
      throw new ConfigError(`${path}.environment_variable`, 'is not supported by this proxy');
    case undefined:
    default:
      return undefined;
  }
}

function checked(content: string, path: string): string {
  if (content.length > bytesMax) throw new ConfigError(path, `is longer than ${bytesMax} bytes`);
  return content;
}
