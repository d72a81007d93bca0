// The one table of what etcd serves and netcd does not yet: such a call is answered with Unimplemented and says so.

import { status } from "@grpc/grpc-js";
import { RpcError } from "../errors.js";
import { leaseService, maintenanceService } from "./definitions.js";

interface Definition {
  readonly path: string;
}

/** Methods that have no handler. */
export const MISSING = {
  lease: { leaseKeepAlive: leaseService.leaseKeepAlive },
  maintenance: without(maintenanceService, "status", "alarm", "moveLeader", "defragment", "hash", "hashKv"),
} as const;

function without<D extends object, K extends keyof D>(definition: D, ...served: K[]): Omit<D, K> {
  return Object.fromEntries(
    Object.entries(definition).filter(([name]) => !(served as PropertyKey[]).includes(name)),
  ) as Omit<D, K>;
}

/** Handlers that refuse: `refuse` ends a call of any kind with the error. */
export function missingHandlers<H>(
  definition: Readonly<Record<string, Definition>>,
  refuse: (error: RpcError) => H,
): Record<string, H> {
  return Object.fromEntries(
    Object.entries(definition).map(([name, { path }]) => {
      const text = `netcd does not have ${path.slice(1)} yet`;
      return [name, refuse(new RpcError(status.UNIMPLEMENTED, text))];
    }),
  );
}
