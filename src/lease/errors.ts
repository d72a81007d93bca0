// What a lease call can end with beyond the errors of every request.

import { ReplicaError, replicaErrors } from "../replica/errors.js";

export const leaseErrors = {
  notPrimary: () => new ReplicaError(2, "not a primary lessor"),
  noLeader: replicaErrors.noLeader,
  timeout: replicaErrors.timeout,
  stopped: replicaErrors.stopped,
  appliedTooLate: () =>
    new ReplicaError(14, "etcdserver: request timed out, waiting for the applied index took too long"),
} as const;
