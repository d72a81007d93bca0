// Installs the npm dependencies when what is installed is not what package-lock.json names.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { must, ROOT, say } from "./lib/run.mjs";

/** True if every package of the lock file is installed in its version; optional ones may be missing. */
function isInstalled() {
  const record = join(ROOT, "node_modules", ".package-lock.json");
  if (!existsSync(record)) return false;
  const wanted = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages;
  const present = JSON.parse(readFileSync(record, "utf8")).packages;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === "" || entry.link) return true;
    const found = present[path];
    return found ? found.version === entry.version : entry.optional === true || entry.peer === true;
  });
}

/** Resolves when node_modules is as package-lock.json says. Throws StepFailed. */
export async function install() {
  if (isInstalled()) return;
  say("installing npm dependencies");
  await must("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
}
