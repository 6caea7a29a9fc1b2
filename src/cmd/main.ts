// The entry: finds the subcommand, loads only its part of the bundle, and turns errors into exit codes.
import { Command, CommanderError } from 'commander';
import { UserError } from '../base/user-error.ts';
import { fairleadVersion } from '../base/version.ts';
import { helpWordAsFlag } from './help-words.ts';
import { subcommands } from './subcommands.ts';

const program = new Command('fairlead')
  .description("Istio's traffic management as one program: control plane, data plane and tools.")
  .helpCommand(true)
  .version(`fairlead ${fairleadVersion}`, '-V, --version', 'print the version of this program')
  .exitOverride()
  .configureHelp({ showGlobalOptions: true })
  .addHelpText(
    'after',
    `
Examples:
  fairlead up samples/bookinfo             a whole mesh, answering on http://localhost:8080
  fairlead validate samples/bookinfo       what is wrong with YAML, before it is used
  fairlead proxy-status                    who runs what, while a mesh is up
  fairlead explain URL --from POD          why a request goes where it goes
  fairlead help proxy-config route         more on a command`,
  );

const names = new Set(subcommands.flatMap(({ name, aliases }) => [name, ...aliases]));
const groups = new Set(['proxy-config', 'pc', 'x', 'experimental']);
const words = helpWordAsFlag(process.argv.slice(2), names, groups);
const wanted = words.find((argument) => !argument.startsWith('-'));
for (const { name, aliases, summary, load, hidden = false } of subcommands) {
  if (wanted === name || aliases.includes(wanted ?? '')) {
    const command = (await load()).command();
    overrideExit(command);
    program.addCommand(command.summary(summary), { hidden });
  } else {
    program.addCommand(new Command(name).aliases(aliases).summary(summary), { hidden });
  }
}

// Whoever read our output has seen enough (`fairlead ... | head`): no reason for a stack trace.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

try {
  await program.parseAsync(words, { from: 'user' });
} catch (error) {
  if (error instanceof CommanderError) {
    // As istioctl: what was asked for and shown is 0, a command line that makes no sense is 64.
    process.exitCode = error.code === 'commander.help' || error.exitCode === 0 ? 0 : 64;
  } else if (error instanceof UserError) {
    process.stderr.write(`fairlead: ${error.message}\n`);
    process.exitCode = error.exitCode;
  } else {
    throw error;
  }
}

/** Errors of nested commands come here too, instead of ending the process where they stand. */
function overrideExit(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) overrideExit(child);
}
