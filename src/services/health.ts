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
  #serving = true;

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
    this.#watchers.add(call);
    call.on("cancelled", () => this.#watchers.delete(call));
    call.on("close", () => this.#watchers.delete(call));
    call.write(this.response);
  }
}

export function healthHandlers(context: ServiceContext, state: HealthState): HandlersOf<typeof healthService> {
  return {
    check: unary(context, (request) => {
      if (request.service !== "") throw rpcError("unknownHealthService");
      return state.response;
    }),
    list: unary(context, () => ({ statuses: { "": state.response } })),
    watch: serverStream(context, (call) => {
      // The stream of an unknown service stays open: it might appear later, says the protocol.
      if (call.request.service === "") state.watch(call);
      else call.write({ status: SERVICE_UNKNOWN });
    }),
  };
}
