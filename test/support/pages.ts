// Pages whose commands tests execute: samples/walkthroughs and docs.

export interface Step {
  readonly command: string;
  /** Empty: the page does not show what it prints. */
  readonly printed: string;
}

/** Commands stand in indented blocks after `$ `; a backslash at the end goes on; what they print follows. */
export function readSteps(page: string): readonly Step[] {
  const steps: { command: string; printed: string }[] = [];
  let step: { command: string; printed: string } | undefined;
  let goesOn = false;
  for (const line of page.split('\n')) {
    const text = line.startsWith('    ') ? line.slice(4) : line === '' ? '' : undefined;
    if (text === undefined) step = undefined;
    else if (text.startsWith('$ ')) {
      step = { command: text.slice(2), printed: '' };
      steps.push(step);
      goesOn = text.endsWith('\\');
    } else if (step !== undefined && goesOn) {
      step.command += `\n${text}`;
      goesOn = text.endsWith('\\');
    } else if (step !== undefined) step.printed += `${text}\n`;
  }
  return steps;
}
