// What src/raft offers to its driver.

export { ConfChangeError, isLeaveJoint } from "./confchange.js";
export { type MemberProgress, Raft, type RaftStatus } from "./node.js";
export * from "./types.js";
