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
  | "storeStatus"
  | "metrics"
>;

export class WithoutTransport implements Unused {
  listen(): Promise<string[]> {
    return unused("listen");
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
  storeStatus(): StoreStatus {
    return unused("storeStatus");
  }
  metrics(): string {
    return unused("metrics");
  }
}
