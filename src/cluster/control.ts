// Control entries: changes of the control plane's state that go through the raft log as JSON of a tagged union.

export type ControlCommand =
  /** A member says how it is called and where clients reach it. */
  | { readonly type: "memberAttributes"; readonly id: string; readonly name: string; readonly clientUrls: string[] }
  /** The leader sets the version that the whole cluster runs, `X.Y.0`. */
  | { readonly type: "clusterVersion"; readonly version: string };

export function encodeCommand(command: ControlCommand): Uint8Array {
  return Buffer.from(JSON.stringify(command));
}

/** Reads a committed entry. Throws for what this version does not know: applying less than the others would fork. */
export function decodeCommand(bytes: Uint8Array): ControlCommand {
  const command = JSON.parse(Buffer.from(bytes).toString()) as ControlCommand;
  switch (command.type) {
    case "memberAttributes":
    case "clusterVersion":
      return command;
    default:
      throw new Error(`unknown control entry: ${JSON.stringify(command)}`);
  }
}
