// Sizes in log lines.

import { expect, it } from "vitest";
import { formatBytes } from "./bytes.js";

it.each([
  [0, "0 B"],
  [9, "9 B"],
  [82, "82 B"],
  [1_000, "1.0 kB"],
  [20_480, "20 kB"],
  [2_147_483_648, "2.1 GB"],
  [999_999, "1000 kB"],
  [-4_096, "-4.1 kB"],
])("%d bytes are %s", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});
