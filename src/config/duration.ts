// Durations as Go writes them ("1m30s", "100ms"), kept as milliseconds.

const NANOSECONDS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  "\u00b5s": 1e3,
  "\u03bcs": 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

const LARGEST_NANOSECONDS = 2 ** 63 - 1;

/** Milliseconds of a Go duration text; null if it is none. */
export function parseDuration(text: string): number | null {
  const match = /^([+-]?)(.*)$/s.exec(text);
  const rest = match?.[2] ?? "";
  if (rest === "0") return 0;
  if (!/^((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$/u.test(rest)) return null;
  let nanoseconds = 0;
  for (const [, amount, unit] of rest.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/gu)) {
    nanoseconds += Number(amount) * (NANOSECONDS[unit ?? ""] ?? 0);
  }
  if (nanoseconds > LARGEST_NANOSECONDS) return null;
  return ((match?.[1] === "-" ? -1 : 1) * Math.trunc(nanoseconds)) / 1e6;
}

/** The text that Go prints for a duration in milliseconds: "0s", "900ms", "1m0s", "2h0m0s". */
export function formatDuration(milliseconds: number): string {
  const total = Math.round(Math.abs(milliseconds) * 1e6);
  const sign = milliseconds < 0 ? "-" : "";
  if (total === 0) return "0s";
  if (total < 1e3) return `${sign}${total}ns`;
  if (total < 1e6) return `${sign}${decimal(total, 1e3)}\u00b5s`;
  if (total < 1e9) return `${sign}${decimal(total, 1e6)}ms`;
  const hours = Math.floor(total / 3600e9);
  const minutes = Math.floor((total % 3600e9) / 60e9);
  const seconds = `${decimal(total % 60e9, 1e9)}s`;
  if (hours > 0) return `${sign}${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${sign}${minutes}m${seconds}` : `${sign}${seconds}`;
}

/** `nanoseconds / unit` without rounding and without zeros at the end. */
function decimal(nanoseconds: number, unit: number): string {
  const whole = Math.floor(nanoseconds / unit);
  const digits = Math.log10(unit);
  const fraction = String(nanoseconds % unit)
    .padStart(digits, "0")
    .replace(/0+$/, "");
  return fraction === "" ? String(whole) : `${whole}.${fraction}`;
}
