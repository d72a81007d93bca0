// Runs the two load generators: h2load for unary calls, the Go program of bench/load for the rest.
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { clockTicksPerSecond, root } from "./server.mjs";

const execute = promisify(execFile);
export const generator = join(root, "bin/reference/netcd-load");
const outputBytesMax = 16 << 20;
// No work takes so long; a generator that hangs ends, and the bench with it.
const workMsMax = 15 * 60_000;

/** Builds the Go generator; quick when nothing changed. */
export function buildLoad() {
  execFileSync("go", ["build", "-o", generator, "."], { cwd: join(root, "bench/load"), stdio: "inherit" });
}

/** Seconds of CPU that the programs have used that this process ran and waited for. */
function childrenCpuSeconds() {
  const fields = readFileSync("/proc/self/stat", "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[13]) + Number(fields[14])) / clockTicksPerSecond;
}

/** Runs a generator; what it wrote, and the seconds of CPU that it used. */
async function generate(program, args) {
  const before = childrenCpuSeconds();
  const { stdout } = await execute(program, args.map(String), { maxBuffer: outputBytesMax, timeout: workMsMax });
  return { stdout, generatorCpuSeconds: childrenCpuSeconds() - before };
}

/**
 * One work of bench/load, as the server's user if it has one and the options name none. Throws with what it said when it fails.
 * @returns {Promise<{ operations: number, seconds: number, p50Ms: number, p99Ms: number, generatorCpuSeconds: number,
 *   token?: string, extra?: Record<string, number> }>}
 */
export async function load(work, server, options = {}) {
  const [program, ...args] = commandOf(work, server, options);
  const { stdout, generatorCpuSeconds } = await generate(program, args);
  return { ...JSON.parse(stdout), generatorCpuSeconds };
}

/** What `during` results in, while a work of bench/load keeps open what it opens; throws when either fails. */
export async function holding(work, server, options, during) {
  const [program, ...args] = commandOf(work, server, options);
  const holder = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(holder, "exit");
  const opened = once(holder.stdout, "data");
  await Promise.race([opened, ended.then(([code]) => Promise.reject(new Error(`${work} ended with ${code}`)))]);
  let result;
  try {
    result = await during();
  } finally {
    holder.stdin.end();
  }
  const [code] = await ended;
  if (code !== 0) {
    throw new Error(`${work} ended with ${code}`);
  }
  return result;
}

function commandOf(work, server, options) {
  const given = Object.entries({ user: server.user, ...server.certificates?.generatorFlags(), ...options }).filter(
    ([, value]) => value !== undefined,
  );
  return [
    ...server.reach,
    generator,
    work,
    `--endpoint=${server.endpoint}`,
    ...given.map(([name, value]) => `--${name}=${value}`),
  ];
}

/** A gRPC message as it stands on the wire: not compressed, its length, the message. */
export function framed(message) {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** A length-delimited protobuf field. */
export function bytesField(number, value) {
  const length = [];
  let rest = value.length;
  for (; rest > 127; rest >>>= 7) {
    length.push((rest & 127) | 128);
  }
  length.push(rest);
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), value]);
}

// Of the message that every gRPC answer has; one without was an error, of which HTTP knows nothing.
const headBytes = 5;

/**
 * Unary calls, all with the same body, and with a token if there is one.
 * @param {{ path: string, body: Buffer, requests: number, connections: number, streams: number, token?: string,
 *   answerBytesMin?: number }} calls no answer that is good has fewer bytes than `answerBytesMin`
 */
export async function h2load(server, calls) {
  const directory = mkdtempSync(join(tmpdir(), "netcd-h2load-"));
  try {
    writeFileSync(join(directory, "body"), calls.body);
    const { stdout, generatorCpuSeconds } = await generate("h2load", [
      ...["-n", calls.requests, "-c", calls.connections, "-m", calls.streams, "-t", 1],
      ...["-d", join(directory, "body"), "-H", "content-type: application/grpc", "-H", "te: trailers"],
      ...(calls.token === undefined ? [] : ["-H", `token: ${calls.token}`]),
      ...["--log-file", join(directory, "log"), `${server.scheme}://${server.endpoint}${calls.path}`],
    ]);
    return { ...parsed(stdout, readFileSync(join(directory, "log"), "utf8"), calls), generatorCpuSeconds };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function parsed(output, log, { requests, answerBytesMin = headBytes }) {
  const finished = /finished in ([0-9.]+)(us|ms|s)/.exec(output);
  const succeeded = Number(/(\d+) succeeded/.exec(output)?.[1] ?? 0);
  if (finished === null || succeeded !== requests) {
    throw new Error(`h2load: ${succeeded} of ${requests} requests succeeded:\n${output}`);
  }
  const dataBytes = Number(/\((\d+)\) data$/m.exec(output)?.[1] ?? 0);
  if (dataBytes < requests * answerBytesMin) {
    throw new Error(`h2load: ${requests} answers have ${dataBytes} bytes, so not all are good:\n${output}`);
  }
  const latenciesUs = new Float64Array(
    log
      .trimEnd()
      .split("\n")
      .map((line) => Number(line.split("\t")[2])),
  ).sort();
  const at = (fraction) =>
    latenciesUs[Math.min(latenciesUs.length - 1, Math.floor(fraction * latenciesUs.length))] / 1000;
  const meanMs = latenciesUs.reduce((sum, one) => sum + one, 0) / latenciesUs.length / 1000;
  const seconds = Number(finished[1]) / { us: 1e6, ms: 1e3, s: 1 }[finished[2]];
  return { operations: requests, seconds, p50Ms: at(0.5), p99Ms: at(0.99), extra: { meanMs } };
}

const serveWaitSeconds = 60;

/** Resolves once a server answers; rejects with the end of its log. */
export async function serves(server) {
  try {
    await load("await", server, { seconds: serveWaitSeconds });
  } catch (error) {
    throw new Error(`${server.label} does not serve: ${server.logTail()}`, { cause: error });
  }
}
