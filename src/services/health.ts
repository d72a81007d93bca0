// grpc.health.v1.Health: the state of the whole server under the empty service name, which is the only one.

import type { ServerWritableStream } from "@grpc/grpc-js";
import { rpcError } from "../errors.js";
import { grpc } from "../proto/index.js";
import type { ServiceContext } from "./context.js";
import type { healthService } from "./definitions.js";
import { type HandlersOf, serverStream, unary } from "./handlers.js";

type Response = grpc.health.v1.HealthCheckResponse.$Properties;
type WatchCall = ServerWritableStream<grpc.health.v1.HealthCheckRequest, Response>;

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = grpc.health.v1.HealthCheckResponse.ServingStatus;

/** Whether the server serves, and who wants to know when that changes. */
export class HealthState {
  readonly #watchers = new Set<WatchCall>();
  /** Watch the state of a service that there is not. */
  readonly #strangers = new Set<WatchCall>();
  #serving = true;
  #stopped = false;

  get response(): Response {
    return { status: this.#serving ? SERVING : NOT_SERVING };
  }

  /** Tells everybody who watches, if it is a change. */
  set(serving: boolean): void {
    if (this.#serving === serving) return;
    this.#serving = serving;
    for (const call of this.#watchers) call.write(this.response);
  }

  /** Sends the state now and at every change, until the call ends. */
  watch(call: WatchCall): void {
    this.#keep(call, this.#watchers, this.response);
  }

  /** The stream of an unknown service stays open: it might appear later, says the protocol. */
  watchUnknown(call: WatchCall): void {
    this.#keep(call, this.#strangers, { status: SERVICE_UNKNOWN });
  }

  #keep(call: WatchCall, among: Set<WatchCall>, response: Response): void {
    among.add(call);
    call.on("cancelled", () => among.delete(call));
    call.on("close", () => among.delete(call));
    call.write(response);
    if (this.#stopped) end(call);
  }

  /** The server serves no more: all who watch are told, and their streams end so that they ask elsewhere. */
  stop(): void {
    this.set(false);
    this.#stopped = true;
    for (const call of [...this.#watchers, ...this.#strangers]) end(call);
  }
}

function end(call: WatchCall): void {
  call.emit("error", rpcError("stopped"));
}

/** Whoever balances load asks without a user. */
const ADMISSION = { auth: "ignored" } as const;

export function healthHandlers(context: ServiceContext, state: HealthState): HandlersOf<typeof healthService> {
  return {
    check: unary(context, ADMISSION, (request) => {
      if (request.service !== "") throw rpcError("unknownHealthService");
      return state.response;
    }),
    list: unary(context, ADMISSION, () => ({ statuses: { "": state.response } })),
    watch: serverStream(context, ADMISSION, (call) => {
      if (call.request.service === "") state.watch(call);
      else state.watchUnknown(call);
    }),
  };
}
