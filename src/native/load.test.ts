import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { EngineOptions, NativeBinding, NativeEvent } from "./binding.js";
import { Engine } from "./engine.js";
import { AddonNotFound, loadBinding, platformName, type Surroundings } from "./load.js";

const linux = { platform: "linux", arch: "x64", musl: false };

function surroundings(there: Record<string, unknown>): Surroundings {
  return {
    ...linux,
    root: "/netcd",
    require: (id) => {
      if (id in there) return there[id];
      throw new Error(`Cannot find module '${id}'\nRequire stack:`);
    },
  };
}

test("each platform has the name that @napi-rs/cli gives it", () => {
  expect(platformName(linux)).toBe("linux-x64-gnu");
  expect(platformName({ platform: "linux", arch: "arm64", musl: true })).toBe("linux-arm64-musl");
  expect(platformName({ platform: "darwin", arch: "arm64", musl: false })).toBe("darwin-arm64");
  expect(() => platformName({ platform: "win32", arch: "x64", musl: false })).toThrow(AddonNotFound);
});

test("the local build comes before the prebuilt package, and either will do", () => {
  const local = { NativeEngine: class {} };
  const prebuilt = { NativeEngine: class {} };
  const file = "/netcd/native/addon/netcd.linux-x64-gnu.node";
  expect(loadBinding(surroundings({ [file]: local, "netcd-linux-x64-gnu": prebuilt }))).toBe(local);
  expect(loadBinding(surroundings({ "netcd-linux-x64-gnu": prebuilt }))).toBe(prebuilt);
});

test("a package as `napi artifacts` makes it is loaded from node_modules", () => {
  const root = mkdtempSync(join(tmpdir(), "netcd-prebuilt-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const musl = !(process.report.getReport() as { header: { glibcVersionRuntime?: string } }).header.glibcVersionRuntime;
  const here = { platform: process.platform, arch: process.arch, musl };
  const name = platformName(here);
  const file = `netcd.${name}.node`;
  const folder = join(root, "node_modules", `netcd-${name}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: `netcd-${name}`, main: file, files: [file] }));
  copyFileSync(join("native/addon", file), join(folder, file));
  const binding = loadBinding({ ...here, root, require: createRequire(join(root, "main.js")) });
  expect(binding.NativeEngine).toBeTypeOf("function");
});

test("without an addon the error says what was tried and what to do", () => {
  const load = () => loadBinding(surroundings({ "netcd-linux-x64-gnu": {} }));
  expect(load).toThrow(AddonNotFound);
  expect(load).toThrow("npm run build");
  expect(load).toThrow("/netcd/native/addon/netcd.linux-x64-gnu.node: Cannot find module");
  expect(load).toThrow("netcd-linux-x64-gnu: it does not export NativeEngine");
});

test("a wake before the first listener is kept, and events go to the listener of their type", () => {
  let wake = () => {};
  const events: NativeEvent[] = [
    { type: "applied", index: 7 },
    { type: "readRequest", ctx: 1 },
  ];
  class Fake {
    constructor(_options: EngineOptions, given: () => void) {
      wake = given;
    }
    drain = () => events.splice(0);
  }
  const engine = new Engine({ NativeEngine: Fake } as unknown as NativeBinding, {} as EngineOptions);
  wake();
  const applied: number[] = [];
  engine.on("applied", (event) => applied.push(event.index));
  expect(() => engine.on("applied", () => {})).toThrow("already");
  expect(engine.dispatch({ type: "readRequest", ctx: 1 })).toBe(false);
  engine.dispatchAll();
  expect(applied).toEqual([7]);
  expect(events).toEqual([]);
});
