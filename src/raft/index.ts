// What src/raft offers to its driver.

export { ConfChangeError, isLeaveJoint } from "./confchange.js";
export { Raft } from "./node.js";
export type { MemberProgress, RaftStatus } from "./status.js";
export * from "./types.js";
