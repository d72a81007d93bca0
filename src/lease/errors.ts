// What a lease call can end with beyond the errors of every request.

import { ERRORS } from "../proto/errors.js";
import { ReplicaError, replicaErrors } from "../replica/errors.js";

export const leaseErrors = {
  notPrimary: () => new ReplicaError(...ERRORS.notPrimaryLessor),
  noLeader: replicaErrors.noLeader,
  timeout: replicaErrors.timeout,
  stopped: replicaErrors.stopped,
  appliedTooLate: () => new ReplicaError(...ERRORS.appliedTooLate),
} as const;
