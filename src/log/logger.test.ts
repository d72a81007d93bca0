import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Logger, type LoggerOptions } from "./logger.js";
import { openOutput } from "./outputs.js";

const START_US = Date.UTC(2026, 10, 20, 19, 25, 30, 555) * 1000 + 916;

function collector(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = [];
  const output = { write: (line: string) => void lines.push(line), close: () => {} };
  const base = { level: "info", format: "json", outputs: [output], nowUs: () => START_US } as const;
  return { lines, output, logger: new Logger({ ...base, ...options }) };
}

describe("log lines", () => {
  it("have zap's keys in zap's order, without blanks", () => {
    const { lines, logger } = collector();
    logger
      .named("raft")
      .info("elected", { "local-member-id": 0xbdae9bbc11dd390dn, took: "1ms", urls: ["a", "b"], n: 2 });
    expect(lines).toHaveLength(1);
    const line = lines[0] ?? "";
    expect(line).toMatch(
      /^\{"level":"info","ts":"2026-11-20T\d\d:25:30\.555916(Z|[+-]\d{4})","logger":"raft","caller":"log\/logger\.test\.ts:\d+","msg":"elected","local-member-id":"bdae9bbc11dd390d","took":"1ms","urls":\["a","b"\],"n":2\}\n$/,
    );
  });

  it("write a time in a field as their own", () => {
    const { lines, logger } = collector();
    logger.info("started", { "start time": { timeUs: START_US } });
    const line = JSON.parse(lines[0] ?? "");
    expect(line["start time"]).toBe(line.ts);
  });

  it("below the level are not written", () => {
    const { lines, logger } = collector({ level: "warn" });
    logger.info("quiet");
    logger.warn("loud");
    expect(lines.map((line) => JSON.parse(line).msg)).toEqual(["loud"]);
  });

  it("at error and above end with a stack", () => {
    const { lines, logger } = collector();
    logger.warn("w", { error: new Error("reason") });
    logger.error("e");
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ error: "reason" });
    expect(lines[0]).not.toContain("stacktrace");
    const keys = Object.keys(JSON.parse(lines[1] ?? ""));
    expect(keys.at(-1)).toBe("stacktrace");
  });

  it("for the console are separated by tabs", () => {
    const { lines, logger } = collector({ format: "console" });
    logger.info("said", { a: 1, b: "x" });
    const columns = (lines[0] ?? "").trimEnd().split("\t");
    expect(columns[1]).toBe("info");
    expect(columns.slice(3)).toEqual(["said", '{"a": 1, "b": "x"}']);
  });

  it("of one text are sampled after the first hundred in a second", () => {
    let now = START_US;
    const { lines, logger } = collector({ nowUs: () => now });
    for (let i = 0; i < 350; i += 1) logger.info("again");
    expect(lines).toHaveLength(102);
    logger.info("other");
    expect(lines).toHaveLength(103);
    now += 1_000_000;
    logger.info("again");
    expect(lines).toHaveLength(104);
  });

  // The first address of a process is never mapped: a write there ends with EIO, as on a terminal that was closed.
  it.runIf(process.platform === "linux").each(["/dev/full", "/proc/self/mem"])(
    "that %s does not take are lost",
    (path) => {
      const full = openOutput(path);
      const { lines, output } = collector();
      const { logger } = collector({ outputs: [full, output] });
      logger.info("said");
      expect(lines).toHaveLength(1);
      logger.close();
    },
  );

  it("go to a file as well", () => {
    const folder = mkdtempSync(join(tmpdir(), "netcd-log-"));
    const path = join(folder, "log");
    const { logger } = collector({ outputs: [openOutput(path)] });
    logger.info("one");
    logger.info("two");
    logger.close();
    expect(readFileSync(path, "utf8").trimEnd().split("\n")).toHaveLength(2);
    rmSync(folder, { recursive: true });
  });
});
