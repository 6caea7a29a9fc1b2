// `fairlead reap RUN DIRECTORY`: the reaper process of a running `fairlead up` (agent/guard.ts).
import { Command } from 'commander';
import { reap } from '../agent/guard.ts';
import { systemClock } from '../base/clock.ts';

export function command(): Command {
  return new Command('reap')
    .argument('<run>', 'the mark of the run whose processes to end')
    .argument('<directory>', 'the state directory to remove')
    .action(async (run: string, directory: string) => {
      await reap(process.stdin, run, directory, systemClock);
    });
}
