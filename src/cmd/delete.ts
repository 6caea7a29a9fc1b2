// `fairlead delete`: objects out of the configuration directory of the control plane, and until the proxies know.
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { UserError } from '../base/user-error.ts';
import { deleteObjects } from '../istioctl/apply/apply.ts';
import { readManifests } from '../istioctl/apply/manifests.ts';
import { findKind } from '../istioctl/resource-kinds.ts';
import type { WriteFlags } from './apply.ts';
import { applyOptions, withWriteOptions } from './apply.ts';

export function command(): Command {
  return withWriteOptions(
    new Command('delete')
      .description(
        'Take objects out of the directory that the control plane reads, and wait until the proxies know.',
      )
      .argument('[kind]', 'kind of the objects')
      .argument('[names...]', 'their names'),
  )
    .addHelpText(
      'after',
      `
Examples:
  fairlead delete virtualservice reviews
  fairlead delete vs reviews ratings -n default
  fairlead delete -f reviews.yaml

Exit code: 0 when the affected proxies have acknowledged, 1 when an object is not there, a file cannot
be written, or the time is over.`,
    )
    .action(async (kindText: string | undefined, names: readonly string[], flags: WriteFlags) => {
      const paths = flags.filename ?? [];
      if ((paths.length === 0) === (kindText === undefined) || (kindText !== undefined && names.length === 0))
        throw new UserError('give either -f FILE, or KIND NAME...', 64);
      const options = applyOptions(flags);
      if (kindText === undefined) {
        const readStdin = (): string => readFileSync(0, 'utf8');
        const { manifests } = readManifests({ paths, readStdin, namespace: flags.namespace });
        await deleteObjects(
          manifests.map(({ config }) => config),
          options,
        );
        return;
      }
      const { group, kind, isNamespaced } = findKind(kindText);
      const namespace = isNamespaced ? (flags.namespace ?? 'default') : '';
      await deleteObjects(
        names.map((name) => ({ group, kind, namespace, name })),
        options,
      );
    });
}
