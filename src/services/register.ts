// All gRPC services that TypeScript serves, on one server.

import type { ServiceDefinition, UntypedHandleCall, UntypedServiceImplementation } from "@grpc/grpc-js";
import { toRpcError } from "../errors.js";
import { authHandlers } from "./auth.js";
import { clusterHandlers } from "./cluster.js";
import type { ServiceContext } from "./context.js";
import {
  authService,
  clusterService,
  electionService,
  healthService,
  leaseService,
  lockService,
  maintenanceService,
} from "./definitions.js";
import { electionHandlers } from "./election.js";
import { type HealthState, healthHandlers } from "./health.js";
import { leaseHandlers } from "./lease.js";
import { lockHandlers } from "./lock.js";
import { maintenanceHandlers } from "./maintenance.js";
import { MISSING, missingHandlers } from "./missing.js";

/** What a server must offer; grpc-js's own Server does too. */
export interface ServiceRegistry {
  addService(definition: ServiceDefinition, handlers: UntypedServiceImplementation): void;
}

/** What netcd does not have yet is registered too, and answered with Unimplemented. */
export function registerServices(server: ServiceRegistry, context: ServiceContext, health: HealthState): void {
  const missing = (definition: Readonly<Record<string, { path: string }>>) =>
    missingHandlers<UntypedHandleCall>(definition, (error) => (call: unknown, callback?: unknown) => {
      if (typeof callback === "function") callback(toRpcError(error));
      else (call as NodeJS.EventEmitter).emit("error", error);
    });
  const add = (definition: ServiceDefinition, handlers: object) =>
    server.addService(definition, handlers as UntypedServiceImplementation);
  add(maintenanceService, { ...missing(MISSING.maintenance), ...maintenanceHandlers(context) });
  add(clusterService, clusterHandlers(context));
  add(healthService, healthHandlers(context, health));
  // Keep-alives never come here: the data plane serves the stream.
  add(leaseService, { ...missing(MISSING.lease), ...leaseHandlers(context) });
  add(authService, authHandlers(context));
  add(electionService, electionHandlers(context));
  add(lockService, lockHandlers(context));
}
