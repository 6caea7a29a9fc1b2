// What a configuration holds that this proxy cannot do: the reason of a NACK.

/** Thrown while a resource is compiled. The message says what was refused, where, and what is accepted. */
export class ConfigError extends Error {
  /** Path of the field within the resource, e.g. `virtual_hosts[0].routes[2].route.hash_policy`. */
  readonly field: string;

  constructor(field: string, reason: string) {
    super(`${field}: ${reason}`);
    this.name = 'ConfigError';
    this.field = field;
  }
}

/** For the `default` of a switch over a protobuf enum: enums are open, a newer peer may send other numbers. */
export function unknownEnum(field: string, value: never): ConfigError {
  return new ConfigError(field, `${String(value)} is not a value that this proxy knows`);
}

/** Runs `check`; a ConfigError from it is rethrown with `prefix` before its field path. */
export function within<Result>(prefix: string, check: () => Result): Result {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(`${prefix}.${error.field}`, error.message.slice(error.field.length + 2));
  }
}
