// The edge Worker in workerd, through `wrangler dev`, from the checkout's wrangler.toml.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { call } from "./http.mjs";
import { node22, path, root, wrangler } from "./paths.mjs";
import { freePorts } from "./ports.mjs";
import { start } from "./processes.mjs";
import { until } from "./wait.mjs";

/**
 * @param {{directory: string, port: number, settings: object, ca?: string, mark: string, seconds?: number, broken?: boolean, config?: string, registry?: string}} options `ca` is the path of a PEM file that workerd trusts; `broken`: settings that make it answer 500; `config`: another configuration than the checkout's; `registry`: the folder by which Workers of several processes find each other
 */
export async function startWorker({ directory, port, settings, ca, mark, seconds = 60, onStart, broken = false, config, registry }) {
  mkdirSync(directory, { recursive: true });
  const [inspectorPort] = await freePorts(1);
  const worker = start({
    name: "wrangler dev",
    command: node22,
    args: [wrangler, "dev", ...(config ? ["--config", config] : []), "--local", "--ip", "127.0.0.1", "--port", String(port), "--inspector-port", String(inspectorPort), "--persist-to", join(directory, "wrangler-state"),
      "--show-interactive-dev-session=false", "--var", `EDGESEAL:${JSON.stringify(settings)}`],
    log: join(directory, "worker.log"),
    cwd: root,
    mark,
    env: {
      PATH: path,
      CI: "1",
      DO_NOT_TRACK: "1",
      NO_COLOR: "1",
      WRANGLER_SEND_METRICS: "false",
      WRANGLER_LOG_PATH: join(directory, "wrangler-logs"),
      WRANGLER_REGISTRY_PATH: registry ?? join(directory, "wrangler-registry"),
      ...(ca && { NODE_EXTRA_CA_CERTS: ca }),
    },
  });
  onStart?.(worker);
  const url = `http://localhost:${port}`;
  try {
    await until("the Worker is ready", async () => (await call(`${url}/.edgeseal/health`, { seconds: 5 })).status < 500 || broken, { seconds, every: 100, giveUp: () => worker.trouble });
  } catch (error) {
    await worker.stop();
    throw error;
  }
  return Object.assign(worker, {
    url,
    /** A request with this bearer token. */
    ask: (token, { path: where = "/hello", headers = {}, ...rest } = {}) => call(`${url}${where}`, { headers: { ...(token && { authorization: `Bearer ${token}` }), ...headers }, ...rest }),
  });
}
