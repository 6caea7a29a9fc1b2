// YAML as istioctl prints it: sorted keys, lists not indented. A file of its own, so that the library is
// loaded only when someone asks for YAML.
import { stringify } from 'yaml';

export function formatYaml(value: unknown): string {
  return stringify(value, {
    indentSeq: false,
    lineWidth: 0,
    sortMapEntries: true,
    aliasDuplicateObjects: false,
  });
}
