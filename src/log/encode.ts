// One log line in zap's two shapes: JSON with a fixed order of keys, and tabs for the console.

import type { Level } from "./level.js";

/** A time as the value of a field, written as that of a line. */
export interface Moment {
  /** Microseconds since 1970. */
  readonly timeUs: number;
}

/** What a field may hold; bigints are ids and print as lower-case hex, undefined leaves the field out. */
export type FieldValue = string | number | boolean | bigint | readonly string[] | Error | Moment | null | undefined;
export type Fields = Readonly<Record<string, FieldValue>>;

export interface Line {
  readonly level: Level;
  /** Microseconds since 1970. */
  readonly timeUs: number;
  /** Name of the part that logs ("raft"); empty for none. */
  readonly logger: string;
  /** folder/file:line */
  readonly caller: string;
  readonly message: string;
  readonly fields: Fields;
  readonly stack: string | null;
}

/** `2026-11-20T19:25:30.555916Z`, or with an offset as `+0200` outside UTC. */
function formatTime(timeUs: number): string {
  const milliseconds = Math.floor(timeUs / 1000);
  const micros = String(Math.floor(timeUs % 1000)).padStart(3, "0");
  const offsetMinutes = -new Date(milliseconds).getTimezoneOffset();
  const local = new Date(milliseconds + offsetMinutes * 60_000).toISOString();
  return `${local.slice(0, -1)}${micros}${formatOffset(offsetMinutes)}`;
}

/** `Z`, or hours and minutes with this between them. */
export function formatOffset(minutes: number, separator = ""): string {
  if (minutes === 0) return "Z";
  const size = Math.abs(minutes);
  const hours = String(Math.floor(size / 60)).padStart(2, "0");
  return `${minutes < 0 ? "-" : "+"}${hours}${separator}${String(size % 60).padStart(2, "0")}`;
}

/** One JSON object without blanks: level, ts, logger, caller, msg, the fields, stacktrace. */
export function encodeJson(line: Line): string {
  const parts = [member("level", line.level), member("ts", formatTime(line.timeUs))];
  if (line.logger !== "") parts.push(member("logger", line.logger));
  if (line.caller !== "") parts.push(member("caller", line.caller));
  parts.push(member("msg", line.message), ...encodeFields(line.fields, ""));
  if (line.stack !== null) parts.push(member("stacktrace", line.stack));
  return `{${parts.join(",")}}\n`;
}

/** ts, level, [logger,] caller, msg and the fields as JSON with blanks, separated by tabs. */
export function encodeConsole(line: Line): string {
  const columns = [formatTime(line.timeUs), line.level];
  if (line.logger !== "") columns.push(line.logger);
  if (line.caller !== "") columns.push(line.caller);
  columns.push(line.message);
  const fields = encodeFields(line.fields, " ");
  if (fields.length > 0) columns.push(`{${fields.join(", ")}}`);
  const stack = line.stack === null ? "" : `\n${line.stack}`;
  return `${columns.join("\t")}${stack}\n`;
}

function member(key: string, value: string): string {
  return `${JSON.stringify(key)}:${JSON.stringify(value)}`;
}

function encodeFields(fields: Fields, blank: string): string[] {
  const parts: string[] = [];
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    parts.push(`${JSON.stringify(key)}:${blank}${encodeValue(value, blank)}`);
  }
  return parts;
}

function encodeValue(value: Exclude<FieldValue, undefined>, blank: string): string {
  if (typeof value === "bigint") return JSON.stringify(value.toString(16));
  if (value instanceof Error) return JSON.stringify(value.message);
  if (isMoment(value)) return JSON.stringify(formatTime(value.timeUs));
  if (Array.isArray(value)) return `[${value.map((item) => JSON.stringify(item)).join(`,${blank}`)}]`;
  return JSON.stringify(value);
}

function isMoment(value: FieldValue): value is Moment {
  return typeof value === "object" && value !== null && "timeUs" in value;
}
