// The rows about HTTP/1.1: what probes and Prometheus fetch from the client port, with autocannon.
import autocannon from "autocannon";
import { measured } from "./measure.mjs";

export const sizes = {
  small: { requests: 200, turns: 1 },
  medium: { requests: 10_000, turns: 2 },
  full: { requests: 20_000, turns: 3 },
};

// One answer costs as much as a hundred of a probe's.
const metricsShare = 0.1;
const connections = 10;
const timeoutSeconds = 30;
// autocannon ends at one of its samples, so that their interval limits how exact the rate is.
const sampleMs = 10;

/** Fetches one path over and over; throws unless every answer was good. */
async function fetches(server, path, requests) {
  const before = process.cpuUsage();
  const result = await autocannon({
    url: `http://${server.endpoint}${path}`,
    amount: requests,
    connections,
    timeout: timeoutSeconds,
    sampleInt: sampleMs,
  });
  if (result["2xx"] !== requests || result.errors > 0) {
    throw new Error(`${server.label} ${path}: ${result["2xx"]} of ${requests} good, ${result.errors} errors`);
  }
  const { p50, p99, mean } = result.latency;
  // autocannon runs in this process.
  const { user, system } = process.cpuUsage(before);
  return {
    operations: requests,
    seconds: result.duration,
    generatorCpuSeconds: (user + system) / 1e6,
    p50Ms: p50,
    p99Ms: p99,
    extra: { meanMs: mean },
  };
}

export function httpRows(size) {
  return ["/health", "/version", "/livez", "/readyz", "/metrics"].map((path) => ({
    name: path.slice(1),
    title: `GET ${path}, ${connections} connections (autocannon)`,
    figure: "rate",
    target: "–",
    turns: size.turns,
    run: (server) =>
      measured(server, () => fetches(server, path, path === "/metrics" ? size.requests * metricsShare : size.requests)),
  }));
}
