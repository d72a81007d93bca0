// What one command-line flag is: the row type of the flag tables.

/** How the text of a flag is read; the names follow Go's flag types, whose texts and limits etcd's users know. */
export type FlagKind =
  | "string"
  | "bool"
  /** 64 bits without a sign. */
  | "uint"
  | "uint32"
  /** 64 bits with a sign. */
  | "int"
  /** Go duration text, kept in nanoseconds. */
  | "duration"
  /** Comma-separated URLs without a path; sorted, each once. */
  | "urls"
  /** Comma-separated texts in the order given. */
  | "strings"
  /** Comma-separated texts, each once, sorted. */
  | "set"
  /** One of `choices`. */
  | "choice"
  /** `Name=true,Other=false`. */
  | "gates"
  /** Takes no effect and no separate value. */
  | "ignored";

export type FlagGroup =
  | "Member"
  | "Clustering"
  | "Security"
  | "Auth"
  | "Audit"
  | "Profiling and Monitoring"
  | "Logging"
  | "Features and tuning"
  | "Unsafe";

export interface FlagSpec {
  readonly name: string;
  readonly kind: FlagKind;
  /** The default as it would be typed. */
  readonly default: string;
  readonly group: FlagGroup;
  readonly help: string;
  /** Path of keys in the config file; null: the file has no such key. */
  readonly yaml: readonly string[] | null;
  /** The only values of a choice, the first of which stands for an empty text. */
  readonly choices: readonly string[];
  /** For urls: a text that is taken as it is (`*`, or nothing). */
  readonly exception: string | null;
  /** Set while a feature is not there: what asks for it is refused with this name of the feature. */
  readonly missing: string | null;
  /** What asks for a missing feature: any value but the default, or the default itself where it is given. */
  readonly asks: "other" | "default";
  /** Why the flag is taken without an effect, for those that have nothing to change in netcd. */
  readonly idle: string | null;
}

interface Extras {
  yaml?: readonly string[] | null;
  choices?: readonly string[];
  exception?: string;
  missing?: string;
  asks?: "other" | "default";
  idle?: string;
}

/** A maker of rows for one group, so that a table reads as a table. */
export function rowsOf(group: FlagGroup) {
  return (name: string, kind: FlagKind, fallback: string, help: string, extras: Extras = {}): FlagSpec => ({
    name,
    kind,
    default: fallback,
    group,
    help,
    yaml: extras.yaml === undefined ? [name] : extras.yaml,
    choices: extras.choices ?? [],
    exception: extras.exception ?? null,
    missing: extras.missing ?? null,
    asks: extras.asks ?? "other",
    idle: extras.idle ?? null,
  });
}
