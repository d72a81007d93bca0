// What a request to the replica can end with, as gRPC code and etcd's text.

import type { NativeStatus } from "../native/binding.js";

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

const unavailable = (text: string) => () => new ReplicaError(14, `etcdserver: ${text}`);

export const replicaErrors = {
  noLeader: unavailable("no leader"),
  leaderChanged: unavailable("leader changed"),
  stopped: unavailable("server stopped"),
  timeout: unavailable("request timed out"),
  timeoutLeaderFail: unavailable("request timed out, possibly due to previous leader failure"),
  timeoutConnectionLost: unavailable("request timed out, possibly due to connection lost"),
  /** etcd's server sends this one and tooManyRequests without a code of their own. */
  transferTimeout: () => new ReplicaError(2, "etcdserver: request timed out, leader transfer took too long"),
  notLeader: () => new ReplicaError(9, "etcdserver: not leader"),
  badTransferee: () => new ReplicaError(9, "etcdserver: bad leader transferee"),
  /** A step of joint consensus that does not fit the phase the configuration is in. */
  confChangeInvalid: () =>
    new ReplicaError(9, "etcdserver: configuration change does not fit the current configuration"),
  tooManyRequests: () => new ReplicaError(2, "etcdserver: too many requests"),
  /** A proposal that found no leader within the request timeout. */
  deadlineExceeded: () => new ReplicaError(4, "context deadline exceeded"),
} as const;
