// Finds the addon: what `npm run build` made, or else the prebuilt package of this platform if one is installed. The
// only importer of the .node file.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { NativeBinding } from "./binding.js";

/** Where the loader looks; tests put their own here. */
export interface Surroundings {
  readonly platform: string;
  readonly arch: string;
  /** Linux only: whether the C library is musl. */
  readonly musl: boolean;
  /** The directory of package.json. */
  readonly root: string;
  /** Loads a package or file; throws if it is not there. */
  readonly require: (id: string) => unknown;
}

export class AddonNotFound extends Error {
  override readonly name = "AddonNotFound";
}

/** The name that @napi-rs/cli gives this platform's binary. Throws AddonNotFound where netcd does not run. */
export function platformName({ platform, arch, musl }: Pick<Surroundings, "platform" | "arch" | "musl">): string {
  const known = (platform === "linux" || platform === "darwin") && (arch === "x64" || arch === "arm64");
  if (!known) throw new AddonNotFound(`netcd does not run on ${platform} ${arch}: it has no native addon for it`);
  return platform === "linux" ? `linux-${arch}-${musl ? "musl" : "gnu"}` : `${platform}-${arch}`;
}

function isBinding(loaded: unknown): loaded is NativeBinding {
  return typeof (loaded as Partial<NativeBinding> | null)?.NativeEngine === "function";
}

/** Loads the addon. Throws AddonNotFound with what was tried and why it failed. */
export function loadBinding(surroundings: Surroundings = currentSurroundings()): NativeBinding {
  const name = platformName(surroundings);
  const candidates = [join(surroundings.root, "native/addon", `netcd.${name}.node`), `netcd-${name}`];
  const failures: string[] = [];
  for (const candidate of candidates) {
    let loaded: unknown;
    try {
      loaded = surroundings.require(candidate);
    } catch (error) {
      failures.push(`${candidate}: ${(error as Error).message.split("\n", 1)[0]}`);
      continue;
    }
    if (isBinding(loaded)) return loaded;
    failures.push(`${candidate}: it does not export NativeEngine`);
  }
  throw new AddonNotFound(
    `the native addon is not there; "npm run build" makes it. Tried:\n  ${failures.join("\n  ")}`,
  );
}

function currentSurroundings(): Surroundings {
  return {
    platform: process.platform,
    arch: process.arch,
    musl: process.platform === "linux" && isMusl(),
    root: packageRoot(),
    require: createRequire(import.meta.url),
  };
}

/** glibc's report names its version; musl's has none. */
function isMusl(): boolean {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  return report?.header?.glibcVersionRuntime === undefined;
}

/** The same from src/ and from dist/. */
function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const file = join(directory, "package.json");
    if (existsSync(file) && (JSON.parse(readFileSync(file, "utf8")) as { name?: string }).name === "netcd") {
      return directory;
    }
    const parent = dirname(directory);
    if (parent === directory) throw new AddonNotFound("the directory of netcd's package.json is not above the loader");
    directory = parent;
  }
}
