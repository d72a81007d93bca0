// URLs of listeners and members, with etcd's rules and texts: a scheme of four, host and port, no path.

/** A text that is no URL for a listener or a member. */
class UrlError extends Error {}

export interface ListenUrl {
  /** As it was given, and as it is printed and hashed into ids. */
  readonly text: string;
  readonly scheme: "http" | "https" | "unix" | "unixs";
  /** Without the brackets of an IPv6 address; empty for all interfaces. */
  readonly host: string;
  readonly port: string;
  /** host:port as written in the URL; for unix sockets the path. */
  readonly address: string;
}

/** Whether who connects there speaks TLS. */
export const isSecured = ({ scheme }: Pick<ListenUrl, "scheme">) => scheme === "https" || scheme === "unixs";

/** Whether it is a socket of this machine, by its path. */
export const isUnix = ({ scheme }: Pick<ListenUrl, "scheme">) => scheme === "unix" || scheme === "unixs";

/** Reads one URL. Throws UrlError with etcd's text. */
export function parseUrl(given: string): ListenUrl {
  const text = given.trim();
  const match = /^([a-zA-Z][a-zA-Z0-9+.-]*):\/\/([^/?#]*)([^?#]*)/.exec(text);
  const scheme = match?.[1]?.toLowerCase() ?? "";
  if (scheme !== "http" && scheme !== "https" && scheme !== "unix" && scheme !== "unixs") {
    throw new UrlError(`URL scheme must be http, https, unix, or unixs: ${text}`);
  }
  const authority = match?.[2] ?? "";
  const path = match?.[3] ?? "";
  if (isUnix({ scheme })) {
    return { text, scheme, host: "", port: "", address: `${authority}${path}` };
  }
  const parts = /^(?:\[([^\]]*)\]|([^:]*)):(\d*)$/.exec(authority);
  if (!parts) throw new UrlError(`URL address does not have the form "host:port": ${text}`);
  if (path !== "") throw new UrlError(`URL must not contain a path: ${text}`);
  return { text, scheme, host: parts[1] ?? parts[2] ?? "", port: parts[3] ?? "", address: authority };
}

/** Reads a comma-separated list: each URL once, sorted as texts. Throws UrlError. */
export function parseUrls(list: string): ListenUrl[] {
  const byText = new Map(list.split(",").map((part) => [part.trim(), parseUrl(part)]));
  return [...byText.values()].sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
}
