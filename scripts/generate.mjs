// Generates the TypeScript side of the wire: protobufjs static code from proto/ into src/proto (not committed), and the
// table of errors, which both languages have from proto/errors.json.
//
// 64-bit integers are `Long` objects: protobufjs has no static code for bigint, and numbers or strings would lose
// either values or types. src/wire/int64.ts converts at the edge, nothing behind it sees a Long.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { filesBelow, installed, must, ROOT, StepFailed, say, whenChanged } from "./lib/run.mjs";

const OUTPUT = "src/proto/index.js";
const ERRORS = join(ROOT, "proto/errors.json");
const ERRORS_OUTPUT = "src/proto/errors.ts";
const SELF = join(ROOT, "scripts/generate.mjs");

/** gRPC's codes by the names that Rust and Go have for them. */
const CODES = {
  ...{ Canceled: 1, Unknown: 2, InvalidArgument: 3, DeadlineExceeded: 4, NotFound: 5, AlreadyExists: 6 },
  ...{ PermissionDenied: 7, ResourceExhausted: 8, FailedPrecondition: 9, Aborted: 10, OutOfRange: 11 },
  ...{ Unimplemented: 12, Internal: 13, Unavailable: 14, DataLoss: 15, Unauthenticated: 16 },
};

/** The table as a module: what an error is called → its gRPC code and text. */
function errorsModule() {
  const lines = JSON.parse(readFileSync(ERRORS, "utf8")).map(({ name, code, text }) => {
    if (CODES[code] === undefined) throw new StepFailed(`proto/errors.json: ${name} has no code of gRPC: ${code}`);
    return `  ${name}: [${CODES[code]}, ${JSON.stringify(text)}],\n`;
  });
  return `// Made of proto/errors.json.\nexport const ERRORS = {\n${lines.join("")}} as const;\n`;
}

/** Resolves when src/proto holds the code of the current .proto files and the errors. */
export async function generate() {
  await whenChanged(
    "errors",
    [ERRORS, SELF],
    () => [ERRORS_OUTPUT],
    async () => {
      mkdirSync(join(ROOT, "src/proto"), { recursive: true });
      writeFileSync(join(ROOT, ERRORS_OUTPUT), errorsModule());
    },
  );
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
