// Log levels, in zap's order.

export const LEVELS = ["debug", "info", "warn", "error", "dpanic", "panic", "fatal"] as const;
export type Level = (typeof LEVELS)[number];

/** Whether `level` is at or above `threshold`. */
export function reaches(level: Level, threshold: Level): boolean {
  return LEVELS.indexOf(level) >= LEVELS.indexOf(threshold);
}
