// Which endpoint answers which path on which listener.

import type { Logger } from "../log/logger.js";
import type { Probe, ProbeCounts } from "../native/binding.js";
import type { RaftStatus } from "../raft/index.js";
import type { ServiceContext } from "../services/context.js";
import { ETCD_VERSION, STORAGE_VERSION } from "../version.js";
import { type AccessRules, refuseHost, withCors } from "./access.js";
import { serveDebugVars } from "./debugvars.js";
import { HealthEndpoints } from "./health.js";
import { HealthTally } from "./healthtally.js";
import {
  answer,
  errorAnswer,
  type HttpAnswer,
  type HttpRequest,
  type ListenerRole,
  methodNotAllowed,
  notFound,
} from "./message.js";
import type { Metrics } from "./metrics.js";
import { servedBy } from "./paths.js";
import { servePeer } from "./peer.js";
import { NOTHING_NEEDED, probes } from "./probes.js";

export interface RouterOptions {
  readonly context: ServiceContext;
  readonly metrics: Metrics;
  readonly rules: AccessRules;
  readonly log: Logger;
  readonly raftStatus: () => RaftStatus;
  /** What the data plane has answered by itself. */
  readonly probeCounts: () => ProbeCounts;
}

/** Endpoints below these paths exist only with some listeners. */
const SERVED: Readonly<Record<ListenerRole, readonly string[]>> = {
  client: servedBy("client"),
  metrics: servedBy("metrics"),
  peer: servedBy("peer"),
};

export class HttpRouter {
  readonly #options: RouterOptions;
  readonly #health: HealthEndpoints;

  constructor(options: RouterOptions) {
    this.#options = options;
    const tally = new HealthTally(options.metrics.registry, options.probeCounts);
    this.#health = new HealthEndpoints(options.context, options.log, tally);
  }

  /** The requests that the data plane answers by itself, until what the answers say changes. */
  probes(): Probe[] {
    const version = { kind: "version", target: "/version", ...NOTHING_NEEDED, answer: this.#versionAnswer() } as const;
    return probes([version, ...this.#health.goodAnswers()], this.#options.rules);
  }

  /** Never rejects: an unexpected error is logged and answered with 500. */
  async serve(request: HttpRequest): Promise<HttpAnswer> {
    try {
      return request.role === "client" ? await this.#serveClient(request) : await this.#route(request);
    } catch (error) {
      this.#options.log.error("HTTP request failed", { path: request.path, error: error as Error });
      return errorAnswer(500, "Internal Server Error");
    }
  }

  async #serveClient(request: HttpRequest): Promise<HttpAnswer> {
    const { rules, log } = this.#options;
    const refused = refuseHost(rules, request, log);
    if (refused) return refused;
    const given: HttpAnswer =
      request.method === "OPTIONS" ? { status: 200, headers: [], body: "" } : await this.#route(request);
    return withCors(rules, request.headers.get("origin") ?? "", given);
  }

  async #route(request: HttpRequest): Promise<HttpAnswer> {
    if (request.path === "*") return { status: 400, headers: [["Connection", "close"]], body: "" };
    const clean = cleanPath(request.path);
    if (clean !== request.path) return redirect(request.method, clean);
    const first = request.path.split("/")[1] ?? "";
    if (!SERVED[request.role].includes(first)) return notFound();
    if (request.path === "/version") return this.#version(request);
    if (request.path === "/metrics") return this.#options.metrics.serve(request.headers.get("accept-encoding") ?? "");
    if (request.path === "/debug/vars") {
      return request.method === "GET" ? serveDebugVars(this.#options.raftStatus()) : methodNotAllowed();
    }
    if (request.role === "peer") return this.#servePeer(request);
    return (await this.#health.serve(request)) ?? notFound();
  }

  async #servePeer(request: HttpRequest): Promise<HttpAnswer> {
    if (request.path === "/members/promote") return redirect(request.method, "/members/promote/");
    return (await servePeer(this.#options.context, request, this.#options.log)) ?? notFound();
  }

  #version(request: HttpRequest): HttpAnswer {
    return request.method === "GET" ? this.#versionAnswer() : methodNotAllowed();
  }

  #versionAnswer(): HttpAnswer {
    const decided = this.#options.context.membership.clusterVersion;
    const body = {
      etcdserver: ETCD_VERSION,
      etcdcluster: decided ?? "not_decided",
      storage: decided === null ? "unknown" : STORAGE_VERSION,
    };
    return answer(200, "application/json", JSON.stringify(body));
  }
}

/** The path without double slashes and dots, as Go's mux wants it. */
function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  const clean = `/${parts.join("/")}`;
  return path.endsWith("/") && clean !== "/" ? `${clean}/` : clean;
}

/** As Go's: only an answer to GET has a body, and only one to GET or HEAD says of which type. */
function redirect(method: string, path: string): HttpAnswer {
  const location = [["Location", path]] as const;
  if (method !== "GET" && method !== "HEAD") return { status: 307, headers: location, body: "" };
  const escaped = path
    .replaceAll("&", "&amp;")
    .replaceAll('"', "&#34;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");
  return {
    status: 307,
    headers: [["Content-Type", "text/html; charset=utf-8"], ...location],
    body: method === "GET" ? `<a href="${escaped}">Temporary Redirect</a>.\n\n` : "",
  };
}
