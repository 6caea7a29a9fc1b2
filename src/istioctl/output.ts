// Machine-readable output as istioctl prints it: JSON with four spaces, YAML with sorted keys.
import { UserError } from '../base/user-error.ts';

export type OutputFormat = 'short' | 'json' | 'yaml';

/** Throws a UserError, in istioctl's words, for a format that is not among `accepted`. */
export function checkOutputFormat<const Format extends string>(
  format: string,
  accepted: readonly Format[],
): Format {
  const found = accepted.find((name) => name === format);
  if (found === undefined)
    throw new UserError(
      `output format ${JSON.stringify(format)} not supported; accepted: ${accepted.join(', ')}`,
    );
  return found;
}

/** JSON or YAML text with its newline. The YAML library is loaded when it is needed. */
export async function formatValue(value: unknown, format: 'json' | 'yaml'): Promise<string> {
  if (format === 'json') return `${JSON.stringify(value, undefined, 4)}\n`;
  const { formatYaml } = await import('./yaml-output.ts');
  return formatYaml(value);
}
