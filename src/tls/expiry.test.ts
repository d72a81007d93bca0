import { expect, it } from "vitest";
import { ExpiryWarnings } from "./expiry.js";

const DAY = 86_400_000;

it("a certificate's end is said 30, 7 and 1 days before and when it has come, each once", () => {
  const said: string[] = [];
  const say =
    (level: string) =>
    (message: string, fields: object = {}) => {
      said.push(`${level} ${message} ${JSON.stringify(fields)}`);
    };
  const warnings = new ExpiryWarnings({ warn: say("warn"), error: say("error") });
  const end = { role: "client", file: "c.pem", endMs: 100 * DAY };
  const at = (days: number) => {
    said.length = 0;
    warnings.look([end], end.endMs - days * DAY);
    warnings.look([end], end.endMs - days * DAY + 10_000);
    return said.map((line) => line.replace(/"not-after":"[^"]*"/, "…"));
  };
  expect(at(31)).toEqual([]);
  expect(at(30)).toEqual(['warn a certificate expires soon {"role":"client","file":"c.pem",…,"days-left":30}']);
  expect(at(29)).toEqual([]);
  expect(at(7)).toEqual(['warn a certificate expires soon {"role":"client","file":"c.pem",…,"days-left":7}']);
  expect(at(1.5)).toEqual([]);
  expect(at(1)).toHaveLength(1);
  expect(at(0)).toEqual(['error a certificate has expired {"role":"client","file":"c.pem",…}']);
  expect(at(-5)).toEqual([]);
  // Another certificate in the same file is another matter.
  said.length = 0;
  warnings.look([{ ...end, endMs: 200 * DAY }], 195 * DAY);
  expect(said).toHaveLength(1);
});
