// What browsers may do on the client port: CORS headers, and the check of Host against DNS rebinding.

import type { Logger } from "../log/logger.js";
import { errorAnswer, type HttpAnswer, type HttpRequest, withHeaders } from "./message.js";

export interface AccessRules {
  /** Origins, or `*` alone. */
  readonly cors: readonly string[];
  /** Host names, or `*` alone. */
  readonly hostWhitelist: readonly string[];
}

/** Whether no request is refused, and the answers to all have the same headers. */
export function isOpen({ cors, hostWhitelist }: AccessRules): boolean {
  return cors.includes("*") && hostWhitelist.includes("*");
}

/** The refusal of a plaintext request whose Host is not known; null if it may pass. */
export function refuseHost(rules: AccessRules, request: HttpRequest, log: Logger): HttpAnswer | null {
  if (request.secure || rules.hostWhitelist.includes("*")) return null;
  const host = hostName(request.headers.get("host") ?? "");
  if (rules.hostWhitelist.includes(host)) return null;
  log.warn("rejecting HTTP request to prevent DNS rebinding attacks", { host });
  return errorAnswer(421, unrecognizedHost(host));
}

/** Host without its port and without the brackets of an IPv6 address. */
function hostName(host: string): string {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):\d*$/.exec(host);
  return match ? (match[1] ?? match[2] ?? "") : host;
}

function unrecognizedHost(host: string): string {
  return `
etcd received your request, but the Host header was unrecognized.

To fix this, choose one of the following options:
- Enable TLS, then any HTTPS request will be allowed.
- Add the hostname you want to use to the whitelist in settings.
  - e.g. etcd --host-whitelist ${JSON.stringify(host)}

This requirement has been added to help prevent "DNS Rebinding" attacks (CVE-2018-5702).
`;
}

/** The answer with CORS headers, if the origin that the request names ("": none) is allowed. */
export function withCors(rules: AccessRules, named: string, given: HttpAnswer): HttpAnswer {
  const origin = rules.cors.includes("*") ? "*" : named;
  if (origin !== "*" && !rules.cors.includes(origin)) return given;
  return withHeaders(given, [
    ["Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE"],
    ["Access-Control-Allow-Origin", origin],
    ["Access-Control-Allow-Headers", "accept, content-type, authorization"],
  ]);
}
