// Every flag of the table is refused, says that it has no effect, or has a test that shows its effect.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { FLAGS } from "../../src/config/flags/index.js";
import { TESTS } from "./tests.js";

const ROOT = join(import.meta.dirname, "../..");

/** Whether the file declares a test of this name: in TypeScript, Go or Rust. */
function declares(text: string, name: string): boolean {
  const declarations = [`it("${name}"`, `test("${name}"`, `func ${name}(`, `fn ${name}(`];
  // A row of a table of tests, each of which is named after its first column.
  return declarations.some((each) => text.includes(each)) || text.includes(`["${name}",`);
}

describe("a flag", () => {
  it.each([...FLAGS.values()].map((flag) => [flag.name, flag] as const))("--%s", (name, flag) => {
    const test = TESTS[name];
    if (flag.idle !== null || (flag.missing !== null && flag.asks === "other")) {
      expect(test, "refused flags and idle ones need no test of an effect").toBeUndefined();
      return;
    }
    if (flag.missing !== null) return;
    expect(test, "every other flag needs one").toBeDefined();
    const [file, title] = test ?? ["", ""];
    expect(declares(readFileSync(join(ROOT, file), "utf8"), title), `${file} has no test "${title}"`).toBe(true);
  });

  it("that is tested is in the table", () => {
    expect(Object.keys(TESTS).filter((name) => !FLAGS.has(name))).toEqual([]);
  });
});
