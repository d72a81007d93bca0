// Durations as Go writes them ("1m30s", "100ms"): read into nanoseconds, exactly and with Go's bounds.

const NANOSECONDS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  "\u00b5s": 1_000n,
  "\u03bcs": 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

/** One more than the largest of a signed 64-bit number: a negative duration may be as long. */
const LONGEST = 2n ** 63n;

/** Nanoseconds of a Go duration text; null if it is none, or longer than Go can hold. */
export function parseDuration(text: string): bigint | null {
  const [, sign = "", rest = ""] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  if (rest === "0") return 0n;
  if (!/^((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$/u.test(rest)) return null;
  let total = 0n;
  for (const [, whole = "", fraction = "", unit = ""] of rest.matchAll(/(\d*)\.?(\d*)(ns|us|µs|μs|ms|s|m|h)/gu)) {
    const size = NANOSECONDS[unit] ?? 0n;
    total += BigInt(whole) * size + (BigInt(fraction) * size) / 10n ** BigInt(fraction.length);
  }
  if (total > LONGEST || (total === LONGEST && sign !== "-")) return null;
  return sign === "-" ? -total : total;
}

/** The text that Go prints for a duration in milliseconds: "0s", "900ms", "1m0s", "2h0m0s". */
export function formatDuration(milliseconds: number): string {
  return formatNanoseconds(BigInt(Math.round(milliseconds * 1e6)));
}

/** As `formatDuration`, of nanoseconds. */
export function formatNanoseconds(nanoseconds: bigint): string {
  const total = nanoseconds < 0n ? -nanoseconds : nanoseconds;
  const sign = nanoseconds < 0n ? "-" : "";
  if (total === 0n) return "0s";
  if (total < 1_000n) return `${sign}${total}ns`;
  if (total < 1_000_000n) return `${sign}${decimal(total, 3)}\u00b5s`;
  if (total < 1_000_000_000n) return `${sign}${decimal(total, 6)}ms`;
  const hours = total / 3_600_000_000_000n;
  const minutes = (total / 60_000_000_000n) % 60n;
  const seconds = `${decimal(total % 60_000_000_000n, 9)}s`;
  if (hours > 0n) return `${sign}${hours}h${minutes}m${seconds}`;
  return minutes > 0n ? `${sign}${minutes}m${seconds}` : `${sign}${seconds}`;
}

/** Nanoseconds in a unit of 10^digits of them, without rounding and without zeros at the end. */
function decimal(nanoseconds: bigint, digits: number): string {
  const unit = 10n ** BigInt(digits);
  const fraction = String(nanoseconds % unit)
    .padStart(digits, "0")
    .replace(/0+$/, "");
  const whole = nanoseconds / unit;
  return fraction === "" ? String(whole) : `${whole}.${fraction}`;
}
