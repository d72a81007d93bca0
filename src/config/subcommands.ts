// What etcd's program is besides a server, by the first argument.

export interface Subcommand {
  readonly name: string;
  /** Set while netcd has no such program: it is refused with this name of it. */
  readonly missing: string;
}

/** Every subcommand of etcd. */
export const SUBCOMMANDS: readonly Subcommand[] = [
  { name: "gateway", missing: "the TCP gateway" },
  { name: "grpc-proxy", missing: "the gRPC proxy" },
];
