// The boundary is stated twice: by hand in binding.ts and by napi in native/addon/index.d.ts, which building the addon
// leaves. Both are read here with the compiler, described as plain data, and must say the same.

import { join } from "node:path";
import { expect, test } from "vitest";
import { Descriptions, programOf } from "./tests/describe.js";

const GENERATED = join(import.meta.dirname, "../../native/addon/index.d.ts");
const STATED = join(import.meta.dirname, "binding.ts");

const types = new Descriptions(programOf([GENERATED, STATED]));
const stated = types.members(types.exported(STATED, "NativeBinding"));

test("binding.ts names what the addon exports", () => {
  expect(types.exportedValues(GENERATED).sort()).toEqual(Object.keys(stated).sort());
});

test.each(Object.keys(stated))("%s is the same in binding.ts and in what napi has generated", (name) => {
  expect(types.describe(types.exported(GENERATED, name))).toEqual(stated[name]);
});

/** What is stated in two ways: of the addon's class, and of the interface. */
const SAME = {
  addon: "read(at: number, status?: Array<string> | undefined | null): Promise<Buffer>; kind(): string",
  binding: 'read(at: number, status: string[] | null): Promise<Uint8Array>; kind(): "one" | "other"',
};

/** Each with what the addon has and what binding.ts would say. */
const DIFFERENT: [difference: string, addon: string, binding: string][] = [
  ["a method more", "a(): void; b(): void", "a(): void"],
  ["a method less", "a(): void", "a(): void; b(): void"],
  ["a parameter more", "a(x: number, y: number): void", "a(x: number): void"],
  ["other names of parameters", "a(x: number, y: number): void", "a(y: number, x: number): void"],
  ["another type", "a(x: bigint): void", "a(x: number): void"],
  ["a null that only one side knows", "a(x: number): void", "a(x: number | null): void"],
  ["a field of an option more", "a(x: { one: string; two: boolean }): void", "a(x: { one: string }): void"],
  ["a field that may be left out", "a(x: { one?: string }): void", "a(x: { one: string }): void"],
  ["an event more", 'a(): ({ type: "x"; n: 1 } | { type: "y"; n: 1 })[]', 'a(): { type: "x"; n: 1 }[]'],
  [
    "an event with another field",
    'a(): ({ type: "x"; n: 1 } | { type: "y" })[]',
    'a(): ({ type: "x" } | { type: "y" })[]',
  ],
  ["another result", "a(): Promise<string>", "a(): Promise<{ name: string }>"],
];

const statements = [SAME, ...DIFFERENT.map(([, addon, binding]) => ({ addon, binding }))];
const samples = new Map(
  statements.flatMap(({ addon, binding }, number) => [
    [`/addon${number}.d.ts`, `export declare class Engine { constructor(wake: () => void); ${addon} }`],
    [`/binding${number}.ts`, `export interface Binding { Engine: new (wake: () => void) => { ${binding} } }`],
  ]),
);
const sampled = new Descriptions(programOf([], samples));

function compared(number: number) {
  const addon = sampled.describe(sampled.exported(`/addon${number}.d.ts`, "Engine"));
  return [addon, sampled.members(sampled.exported(`/binding${number}.ts`, "Binding"))["Engine"]];
}

test("what only is called differently is no difference", () => {
  const [addon, binding] = compared(0);
  expect(addon).toEqual(binding);
});

test.each(DIFFERENT.map(([difference], index) => [difference, index + 1] as const))(
  "%s is a difference",
  (_, number) => {
    const [addon, binding] = compared(number);
    expect(addon).not.toEqual(binding);
  },
);
