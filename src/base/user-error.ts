// Errors whose text is meant for the person at the terminal: no stack is printed.

export class UserError extends Error {
  readonly exitCode: number;

  /** `message` says what could not be done, with the value and the place, and what would be accepted. */
  constructor(message: string, exitCode = 1) {
    super(message);
    this.name = 'UserError';
    this.exitCode = exitCode;
  }
}
