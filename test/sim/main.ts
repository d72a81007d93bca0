// npm run sim -- --seeds N --from S: runs N seeds from S on; exit code 1 and the seed's own command if one fails.

import { simulate } from "./simulation.js";

function option(name: string, fallback: number): number {
  const at = process.argv.indexOf(`--${name}`);
  const text = at < 0 ? undefined : process.argv[at + 1];
  if (at >= 0 && (text === undefined || !/^\d+$/.test(text))) {
    throw new Error(`--${name} wants a number`);
  }
  return text === undefined ? fallback : Number(text);
}

const seeds = option("seeds", 1000);
const from = option("from", 1);
const startedMs = performance.now();
let failures = 0;
let operations = 0;
let elections = 0;
const fast = { append: 0, commit: 0, read: 0 };
const rights = { changed: 0, brought: 0 };
let hash = 0;
for (let seed = from; seed < from + seeds; seed += 1) {
  const result = simulate(seed);
  operations += result.operations;
  elections += result.elections;
  for (const step of ["append", "commit", "read"] as const) fast[step] += result.fast[step];
  for (const step of ["changed", "brought"] as const) rights[step] += result.rights[step];
  hash = (Math.imul(hash, 31) + result.hash) >>> 0;
  if (result.failure !== null) {
    failures += 1;
    console.error(`seed ${seed} failed: npm run sim -- --seeds 1 --from ${seed}`);
    console.error(result.failure);
  } else if (seeds === 1) console.log(JSON.stringify(result));
}
const seconds = (performance.now() - startedMs) / 1000;
console.log(
  `${seeds} seeds in ${seconds.toFixed(1)} s (${(seeds / seconds).toFixed(1)}/s), ${operations} operations, ` +
    `${elections} elections, by data planes ${fast.append} appends, ${fast.commit} commits, ${fast.read} reads, ` +
    `users changed ${rights.changed} times by entries and ${rights.brought} times by stores, ` +
    `${failures} failures, hash ${hash.toString(16)}`,
);
process.exitCode = failures > 0 ? 1 : 0;
