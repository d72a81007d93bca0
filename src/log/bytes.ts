// Sizes as log lines have them: decimal units, one digit behind the point below ten.

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB"] as const;
const STEP = 1000;

/** "0 B", "9.5 kB", "21 MB"; of a negative size its amount, with the sign. */
export function formatBytes(bytes: number): string {
  if (bytes < 0) return `-${formatBytes(-bytes)}`;
  if (bytes < 10) return `${bytes} B`;
  const unit = Math.min(UNITS.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = Math.floor((bytes / STEP ** unit) * 10 + 0.5) / 10;
  return `${value < 10 ? value.toFixed(1) : evenRound(value)} ${UNITS[unit]}`;
}

/** To the next integer, a half to the even one, as Go prints. */
function evenRound(value: number): number {
  const below = Math.floor(value);
  const half = value - below === 0.5;
  return half ? below + (below % 2) : Math.round(value);
}
