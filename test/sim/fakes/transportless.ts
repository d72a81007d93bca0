// The part of NativeEngine that a simulation has no use for: calling it is a mistake in the test.

import type { NativeEngine, StoreStatus } from "../../../src/native/binding.js";

function unused(name: string): never {
  throw new Error(`${name} is not part of the fake engine`);
}

type Unused = Pick<
  NativeEngine,
  | "listen"
  | "readEntries"
  | "range"
  | "setAlarms"
  | "quotaRefused"
  | "callSend"
  | "callEnd"
  | "httpRespond"
  | "httpStart"
  | "httpWrite"
  | "httpEnd"
  | "watchOpen"
  | "watchSend"
  | "watchClose"
  | "hashKv"
  | "defragment"
  | "leasePromote"
  | "leaseDemote"
  | "leaseAttend"
  | "leaseExpired"
  | "leaseCheckpoints"
  | "leaseRenew"
  | "leaseTimes"
  | "leaseKeys"
  | "leases"
  | "nextLeaseId"
  | "leaseRenewed"
  | "setPeerIdentity"
  | "setPeer"
  | "removePeer"
  | "setRemovedPeers"
  | "peerSend"
  | "peerForward"
  | "peerSendSnapshot"
  | "dropSnapshot"
  | "storeStatus"
  | "metrics"
>;

export class WithoutTransport implements Unused {
  listen(): Promise<string[]> {
    return unused("listen");
  }
  release(): void {
    unused("release");
  }
  readEntries(): never {
    return unused("readEntries");
  }
  range(): Promise<Uint8Array> {
    return unused("range");
  }
  setAlarms(): void {
    unused("setAlarms");
  }
  quotaRefused(): void {
    unused("quotaRefused");
  }
  callSend(): boolean {
    return unused("callSend");
  }
  callEnd(): void {
    unused("callEnd");
  }
  httpRespond(): void {
    unused("httpRespond");
  }
  httpStart(): void {
    unused("httpStart");
  }
  httpWrite(): boolean {
    return unused("httpWrite");
  }
  httpEnd(): void {
    unused("httpEnd");
  }
  watchOpen(): void {
    unused("watchOpen");
  }
  watchSend(): void {
    unused("watchSend");
  }
  watchClose(): void {
    unused("watchClose");
  }
  hashKv(): never {
    return unused("hashKv");
  }
  defragment(): never {
    return unused("defragment");
  }
  leasePromote(): never {
    return unused("leasePromote");
  }
  leaseDemote(): never {
    return unused("leaseDemote");
  }
  leaseAttend(): never {
    return unused("leaseAttend");
  }
  leaseExpired(): never {
    return unused("leaseExpired");
  }
  leaseCheckpoints(): never {
    return unused("leaseCheckpoints");
  }
  leaseRenew(): never {
    return unused("leaseRenew");
  }
  leaseTimes(): never {
    return unused("leaseTimes");
  }
  leaseKeys(): never {
    return unused("leaseKeys");
  }
  leases(): never {
    return unused("leases");
  }
  nextLeaseId(): never {
    return unused("nextLeaseId");
  }
  leaseRenewed(): never {
    return unused("leaseRenewed");
  }
  setPeerIdentity(): never {
    return unused("setPeerIdentity");
  }
  setPeer(): never {
    return unused("setPeer");
  }
  removePeer(): never {
    return unused("removePeer");
  }
  setRemovedPeers(): never {
    return unused("setRemovedPeers");
  }
  peerSend(): never {
    return unused("peerSend");
  }
  peerForward(): never {
    return unused("peerForward");
  }
  peerSendSnapshot(): never {
    return unused("peerSendSnapshot");
  }
  dropSnapshot(): never {
    return unused("dropSnapshot");
  }
  storeStatus(): StoreStatus {
    return unused("storeStatus");
  }
  metrics(): string {
    return unused("metrics");
  }
}
