// Runs the transcripts. UPDATE_TRANSCRIPTS=1 writes what came out in place of what was expected, to be read in the diff.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Transcript } from "./transcript.js";

const folder = join(import.meta.dirname, "transcripts");
const update = process.env["UPDATE_TRANSCRIPTS"] === "1";

/** The file with every expected output replaced by what came out. */
function replay(text: string): string {
  const transcript = new Transcript();
  const blocks = text.trim().split(/\n\n+/);
  const out = blocks.map((block) => {
    const lines = block.split("\n");
    const end = lines.indexOf("----");
    const head = end < 0 ? lines : lines.slice(0, end);
    const commands = head.filter((line) => !line.startsWith("#"));
    if (commands.length === 0) return block;
    const output = commands.map((line) => transcript.run(line)).filter((text) => text !== "ok");
    return [...head, "----", output.length === 0 ? "ok" : output.join("\n")].join("\n");
  });
  return `${out.join("\n\n")}\n`;
}

describe("transcripts", () => {
  const files = readdirSync(folder).filter((name) => name.endsWith(".txt"));
  test("are there", () => expect(files.length).toBeGreaterThanOrEqual(8));
  test.each(files)("%s", (name) => {
    const path = join(folder, name);
    const expected = readFileSync(path, "utf8");
    const actual = replay(expected);
    if (update) writeFileSync(path, actual);
    else expect(actual).toBe(expected);
  });
});
