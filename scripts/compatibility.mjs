// npm run compatibility: writes the tables of docs/compatibility.md from the tables by which the server itself serves
// and refuses. With --print they go to stdout and no file changes. The program must be built.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { asProgram, ROOT, say } from "./lib/run.mjs";

const DOCUMENT = join(ROOT, "docs/compatibility.md");
const BEGIN = "<!-- made by `npm run compatibility`; what is between these two lines is not written by hand -->";
const END = "<!-- the end of what is made -->";

/** A module of the built program. */
const built = (path) => import(pathToFileURL(join(ROOT, "dist", path)).href);

const cell = (text) => String(text).replaceAll("|", "\\|").replaceAll("\n", " ");
const code = (text) => (text === "" ? "" : `\`${text}\``);

/** A Markdown table. */
function table(head, rows) {
  const line = (cells) => `| ${cells.map(cell).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

async function calls() {
  const definitions = await built("services/definitions.js");
  const { MISSING } = await built("services/missing.js");
  // The data plane serves these: they need no handler.
  const inRust = new Set(["/etcdserverpb.Lease/LeaseKeepAlive"]);
  const absent = new Set(
    Object.values(MISSING)
      .flatMap((methods) => Object.values(methods).map(({ path }) => path))
      .filter((path) => !inRust.has(path)),
  );
  const paths = Object.values(definitions).flatMap((service) => Object.values(service).map(({ path }) => path));
  const rows = [...paths, "/etcdserverpb.Watch/Watch"].map((path) => {
    const [, service, method] = path.split("/");
    return [service, method, absent.has(path) ? "no: `Unimplemented`, with its name" : "yes"];
  });
  rows.sort(([a, b], [c, d]) => (a === c ? (b < d ? -1 : 1) : a < c ? -1 : 1));
  return table(["service", "method", "served"], rows);
}

/** What becomes of a flag. */
function fate({ missing, asks, idle }) {
  if (idle !== null) return `taken without effect: ${idle}`;
  if (missing === null) return "yes";
  const when = asks === "default" ? "its default is given explicitly" : "it is not the default";
  return `refused where ${when}: not there yet: ${missing}`;
}

async function flags() {
  const { FLAGS, LISTED_FLAGS } = await built("config/flags/index.js");
  const rows = LISTED_FLAGS.map((flag) => [code(`--${flag.name}`), code(flag.default), fate(flag)]);
  const old = [...FLAGS.values()].filter(({ kind }) => kind === "ignored").map(({ name }) => code(`--${name}`));
  const ignored = table(["taken and ignored, as by etcd"], [[old.join(", ")]]);
  return `${table(["flag", "default", "has its effect"], rows)}\n\n${ignored}`;
}

async function gates() {
  const { GATES, STAGE_GATES } = await built("config/gates.js");
  const stages = STAGE_GATES.map(({ name, stage }) => [
    code(name),
    stage.toLowerCase(),
    "`false`",
    `Stands for all gates of its stage; refused with the name of the first that netcd does not have.`,
    "",
  ]);
  const rows = GATES.map(({ name, stage, default: on, here, missing }) => [
    code(name),
    stage.toLowerCase(),
    code(on),
    here,
    missing === null ? "" : `${code(`${name}=${!on}`)}: not there yet: ${missing}`,
  ]);
  return table(["gate", "stage", "default", "here", "refused"], [...stages, ...rows]);
}

async function paths() {
  const { PATHS } = await built("http/paths.js");
  const rows = PATHS.map(({ path, listeners, missing, note }) => [
    code(path),
    listeners.join(", "),
    missing === null ? `yes${note === "" ? "" : `; ${note}`}` : `no: 404; not there yet: ${missing}`,
  ]);
  return table(["path", "listeners", "served"], rows);
}

async function programs() {
  const { SUBCOMMANDS } = await built("config/subcommands.js");
  const rows = SUBCOMMANDS.map(({ name, missing }) => [code(`netcd ${name}`), `refused: not there yet: ${missing}`]);
  return table(["command", "here"], rows);
}

async function matrix() {
  const sections = [
    ["gRPC", await calls()],
    ["HTTP", await paths()],
    ["Flags", await flags()],
    ["Feature gates", await gates()],
    ["Subcommands", await programs()],
  ];
  return sections.map(([title, body]) => `### ${title}\n\n${body}\n`).join("\n");
}

/** The document with other tables in it. */
function withTables(text, tables) {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${DOCUMENT} does not have the two lines around its tables`);
  return `${text.slice(0, begin + BEGIN.length)}\n\n${tables}\n${text.slice(end)}`;
}

async function compatibility() {
  const tables = await matrix();
  if (process.argv.includes("--print")) {
    process.stdout.write(tables);
    return;
  }
  writeFileSync(DOCUMENT, withTables(readFileSync(DOCUMENT, "utf8"), tables));
  say(`wrote ${DOCUMENT}`);
}

await asProgram(import.meta.url, compatibility);
