// HTTP requests and answers as the routes see them, and the answers that Go's net/http gives by itself.

export type ListenerRole = "client" | "peer" | "metrics";

export interface HttpRequest {
  readonly method: string;
  /** Without query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
  readonly role: ListenerRole;
  /** Over TLS. */
  readonly secure: boolean;
  /** Why a linearizable read failed that it has waited for already; null: it has for none. */
  readonly failedRead: string | null;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string | Uint8Array;
}

export const TEXT = "text/plain; charset=utf-8";

/** Reads the parts of a request as the data plane hands it over. */
export function httpRequest(raw: {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array;
  readonly role: ListenerRole;
  readonly failedRead: string | null;
}): HttpRequest {
  const split = raw.url.indexOf("?");
  const path = split < 0 ? raw.url : raw.url.slice(0, split);
  return {
    method: raw.method,
    path: decodePath(path),
    query: new URLSearchParams(split < 0 ? "" : raw.url.slice(split + 1)),
    headers: new Map(raw.headers.map(([name, value]) => [name.toLowerCase(), value])),
    body: raw.body,
    role: raw.role,
    secure: false,
    failedRead: raw.failedRead,
  };
}

/** An escape that is none leaves the path as it is; it then matches no route. */
function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

export function answer(status: number, type: string, body: string | Uint8Array): HttpAnswer {
  return { status, headers: [["Content-Type", type]], body };
}

/** As Go's http.Error: the text with a newline, and no sniffing of its type. */
export function errorAnswer(status: number, text: string): HttpAnswer {
  return {
    status,
    headers: [
      ["Content-Type", TEXT],
      ["X-Content-Type-Options", "nosniff"],
    ],
    body: `${text}\n`,
  };
}

export function notFound(): HttpAnswer {
  return errorAnswer(404, "404 page not found");
}

/** For an endpoint that only answers one method; HEAD is not GET here. */
export function methodNotAllowed(allowed: "GET" | "POST" = "GET"): HttpAnswer {
  const error = errorAnswer(405, "Method Not Allowed");
  return { ...error, headers: [["Allow", allowed], ...error.headers] };
}

export function withHeaders(given: HttpAnswer, headers: readonly (readonly [string, string])[]): HttpAnswer {
  return { ...given, headers: [...headers, ...given.headers] };
}
