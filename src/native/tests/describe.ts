// Types of TypeScript as plain data, to compare two statements of one boundary: what crosses, whatever its types are
// called. A union of words is their kind here ("client" | "peer" is a string), since Rust does not name them one by one.

import ts from "typescript";

export type Described = string | { readonly [part: string]: Described } | readonly Described[];

/** The types of a program, described. */
export class Descriptions {
  readonly #checker: ts.TypeChecker;

  constructor(private readonly program: ts.Program) {
    this.#checker = program.getTypeChecker();
  }

  /** What a module exports under a name: a value's type, or else the type of this name. */
  exported(file: string, name: string): ts.Type {
    const source = this.program.getSourceFile(file);
    const module = source && this.#checker.getSymbolAtLocation(source);
    const found = module && this.#checker.getExportsOfModule(module).find((symbol) => symbol.name === name);
    if (found === undefined) throw new Error(`${file} does not export ${name}`);
    const isValue = (found.flags & ts.SymbolFlags.Value) !== 0;
    return isValue ? this.#checker.getTypeOfSymbol(found) : this.#checker.getDeclaredTypeOfSymbol(found);
  }

  /** The names of the functions and the classes with a constructor that a module exports. */
  exportedValues(file: string): string[] {
    const source = this.program.getSourceFile(file);
    const module = source && this.#checker.getSymbolAtLocation(source);
    if (module === undefined) throw new Error(`${file} is no module`);
    const made = (symbol: ts.Symbol) =>
      (symbol.flags & ts.SymbolFlags.Function) !== 0 ||
      (symbol.declarations ?? []).some(
        (node) => ts.isClassDeclaration(node) && node.members.some(ts.isConstructorDeclaration),
      );
    return this.#checker
      .getExportsOfModule(module)
      .filter(made)
      .map((symbol) => symbol.name);
  }

  /** The properties of a type with a description of each. */
  members(type: ts.Type): { [name: string]: Described } {
    const property = (symbol: ts.Symbol) => {
      const optional = (symbol.flags & ts.SymbolFlags.Optional) !== 0 ? "?" : "";
      return [symbol.name + optional, this.describe(this.#checker.getTypeOfSymbol(symbol))] as const;
    };
    return Object.fromEntries(this.#checker.getPropertiesOfType(type).map(property));
  }

  describe(type: ts.Type): Described {
    const checker = this.#checker;
    // To the compiler it is the union of its two values.
    if ((type.flags & ts.TypeFlags.BooleanLike) !== 0) return "boolean";
    if (type.isUnion()) return this.#union(type);
    if (checker.isTupleType(type)) return { tuple: this.#arguments(type) };
    if (checker.isArrayType(type)) return { arrayOf: this.#arguments(type) };
    // The one word that a field may hold tells objects of one union apart.
    if (type.isStringLiteral()) return JSON.stringify(type.value);
    if ((type.flags & ts.TypeFlags.Object) === 0) return checker.typeToString(type);
    switch (type.symbol?.name) {
      // What Node makes of bytes is a Uint8Array.
      case "Buffer":
      case "Uint8Array":
        return "Uint8Array";
      case "Promise":
        return { promise: this.#arguments(type) };
    }
    const [construction] = type.getConstructSignatures();
    if (construction) return { new: this.#signature(construction) };
    const [call] = type.getCallSignatures();
    return call ? this.#signature(call) : this.members(type);
  }

  #arguments(type: ts.Type): Described[] {
    return this.#checker.getTypeArguments(type as ts.TypeReference).map((argument) => this.describe(argument));
  }

  /** Without `undefined`, which napi takes everywhere beside null. */
  #union(type: ts.UnionType): Described {
    const parts = type.types
      .filter((part) => (part.flags & ts.TypeFlags.Undefined) === 0)
      .map((part) => this.#checker.getBaseTypeOfLiteralType(part));
    const described = new Map(parts.map((part) => this.describe(part)).map((part) => [JSON.stringify(part), part]));
    const ordered = [...described].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, part]) => part);
    return ordered.length === 1 ? (ordered[0] as Described) : { anyOf: ordered };
  }

  #signature(signature: ts.Signature): Described {
    const parameters = signature.getParameters().map((parameter) => ({
      [parameter.name]: this.describe(this.#checker.getTypeOfSymbol(parameter)),
    }));
    return { parameters, result: this.describe(signature.getReturnType()) };
  }
}

/** Compiles files of the disk, or those whose text is given here. */
export function programOf(files: readonly string[], texts: ReadonlyMap<string, string> = new Map()): ts.Program {
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    lib: ["lib.es2023.d.ts"],
    types: ["node"],
    strict: true,
    noEmit: true,
    skipLibCheck: true,
  };
  const host = ts.createCompilerHost(options);
  const onDisk = { read: host.getSourceFile.bind(host), exists: host.fileExists.bind(host) };
  host.fileExists = (name) => texts.has(name) || onDisk.exists(name);
  host.getSourceFile = (name, version) => {
    const text = texts.get(name);
    return text === undefined ? onDisk.read(name, version) : ts.createSourceFile(name, text, version);
  };
  return ts.createProgram([...files, ...texts.keys()], options, host);
}
