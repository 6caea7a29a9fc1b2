// `fairlead help pc route` and `fairlead pc help route`: the same as `fairlead pc route --help`.

/**
 * The arguments with the word `help` made into the flag. A command loads only its own part of the bundle, so
 * that commander, which would answer the word itself, knows no more of the others than their names.
 * `names`: all commands with their aliases; `groups`: those that have commands of their own.
 */
export function helpWordAsFlag(
  args: readonly string[],
  names: ReadonlySet<string>,
  groups: ReadonlySet<string>,
): readonly string[] {
  const [first = '', second = '', ...rest] = args;
  if (groups.has(first) && second === 'help') return [first, ...rest, '--help'];
  if (first !== 'help' || second === '') return args;
  // Of an unknown command there is no help: commander says so, with the nearest name.
  return names.has(second) ? [second, ...rest, '--help'] : [second];
}
