// The part of NativeEngine that a simulation has no use for: calling it is a mistake in the test.

import type {
  NativeAuth,
  NativeEngine,
  NativeLeases,
  NativePeers,
  NativeTransport,
  StoreStatus,
} from "../../../src/native/binding.js";

function unused(name: string): never {
  throw new Error(`${name} is not part of the fake engine`);
}

type Unused = Omit<NativeEngine, "log" | "open" | "drain" | "propose" | "setServing" | "close">;

export class WithoutTransport implements Unused {
  get leases(): NativeLeases {
    return unused("leases");
  }
  get peers(): NativePeers {
    return unused("peers");
  }
  get transport(): NativeTransport {
    return unused("transport");
  }
  get auth(): NativeAuth {
    return unused("auth");
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
