// What can go wrong with a configuration, and what is to be logged while it is read.

/** A log line of the time before the logger is configured. */
export interface Note {
  readonly level: "info" | "warn";
  readonly message: string;
  readonly fields: Readonly<Record<string, string>>;
}

/**
 * The configuration cannot be used; exit code 1. With `fatal` the message is the log line itself and these are its
 * fields; without, the log line is "failed to verify flags" and the message its error field.
 */
export class ConfigError extends Error {
  /** What was logged before. */
  notes: readonly Note[] = [];

  constructor(
    message: string,
    readonly fatal: Readonly<Record<string, string>> | null = null,
  ) {
    super(message);
  }

  /** The same error, with what is to be logged before it. */
  after(notes: readonly Note[]): this {
    this.notes = [...notes, ...this.notes];
    return this;
  }
}
