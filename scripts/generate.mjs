// Generates the TypeScript side of the wire: protobufjs static code from proto/ into src/proto (not committed).
//
// 64-bit integers are `Long` objects: protobufjs has no static code for bigint, and numbers or strings would lose
// either values or types. src/wire/int64.ts converts at the edge, nothing behind it sees a Long.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { filesBelow, installed, must, ROOT, say, whenChanged } from "./lib/run.mjs";

const OUTPUT = "src/proto/index.js";
const SELF = join(ROOT, "scripts/generate.mjs");

/** Resolves when src/proto holds the code of the current .proto files. */
export async function generate() {
  const sources = filesBelow("proto", (name) => name.endsWith(".proto"));
  await whenChanged(
    "proto",
    [...sources, SELF],
    () => [OUTPUT, "src/proto/index.d.ts"],
    async () => {
      say("generating protobuf code");
      mkdirSync(join(ROOT, "src/proto"), { recursive: true });
      const options = ["-t", "static-module", "-w", "esm", "--dts", "--force-long", "--no-delimited", "--no-service"];
      await must(installed("pbjs"), [...options, "--no-typeurl", "-p", "proto", "-o", OUTPUT, ...sources], {
        quiet: true,
      });
    },
  );
}
