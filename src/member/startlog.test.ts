import { expect, test } from "vitest";
import { loadConfig } from "../config/load.js";
import { Logger } from "../log/logger.js";
import { logStart } from "./startlog.js";

/** The lines of a start with these flags, without what is of the moment. */
function linesOf(args: string[]): Record<string, unknown>[] {
  const loaded = loadConfig(args, {});
  if (loaded.kind !== "run") throw new Error("the flags are wrong");
  const lines: string[] = [];
  const output = { write: (text: string) => void lines.push(text), close: () => {} };
  logStart(new Logger({ level: "info", format: "json", outputs: [output] }), loaded.config, false);
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

test("a start warns of a limit on requests that is above what is recommended", () => {
  expect(linesOf(["--max-request-bytes=10485760"]).filter((line) => line["level"] === "warn")).toEqual([]);
  expect(linesOf(["--max-request-bytes=20000000"]).find((line) => line["level"] === "warn")).toMatchObject({
    msg: "exceeded recommended request limit",
    "max-request-bytes": 20_000_000,
    "max-request-size": "20 MB",
    "recommended-request-bytes": 10_485_760,
    "recommended-request-size": "10 MB",
  });
});

test("a start says which mode automatic compaction would have", () => {
  const mode = (...args: string[]) =>
    linesOf(args).find((line) => line["auto-compaction-mode"])?.["auto-compaction-mode"];
  expect(mode()).toBe("periodic");
  expect(mode("--auto-compaction-mode=revision")).toBe("revision");
});
