// Bools as Go spells them.

/** The value of Go's spellings of a bool; null for any other text. */
export function parseBool(text: string): boolean | null {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  return null;
}
