// What a request to the replica can end with, each from the table of proto/errors.json.

import type { NativeStatus } from "../native/binding.js";
import { ERRORS } from "../proto/errors.js";

export class ReplicaError extends Error {
  override readonly name = "ReplicaError";

  constructor(
    /** gRPC status code. */
    readonly code: number,
    message: string,
  ) {
    super(message);
  }

  get status(): NativeStatus {
    return { code: this.code, message: this.message };
  }
}

/** Makes the error that has this name in the table. */
const named = (name: keyof typeof ERRORS) => () => {
  const [code, text] = ERRORS[name];
  return new ReplicaError(code, text);
};

export const replicaErrors = {
  noLeader: named("noLeader"),
  leaderChanged: named("leaderChanged"),
  stopped: named("stopped"),
  timeout: named("timeout"),
  timeoutLeaderFail: named("timeoutLeaderFail"),
  timeoutConnectionLost: named("timeoutConnectionLost"),
  /** etcd's server sends this one and tooManyRequests without a code of their own. */
  transferTimeout: named("transferTimeout"),
  notLeader: named("notLeader"),
  badTransferee: named("badTransferee"),
  /** A step of joint consensus that does not fit the phase the configuration is in. */
  confChangeInvalid: named("confChangeInvalid"),
  tooManyRequests: named("tooManyRequests"),
  /** A proposal that found no leader within the request timeout. */
  deadlineExceeded: named("deadline"),
} as const;
