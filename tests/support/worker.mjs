// The edge Worker in workerd, through `wrangler dev`, from the checkout's wrangler.toml.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { call } from "./http.mjs";
import { node22, path, root, wrangler } from "./paths.mjs";
import { freePorts } from "./ports.mjs";
import { start } from "./processes.mjs";
import { until } from "./wait.mjs";

/**
 * @param {{directory: string, port: number, settings: object, ca?: string, mark: string, seconds?: number, broken?: boolean, persist?: string, registry?: string, upstream?: string, replaysOf?: string, vars?: Record<string, string>, build?: string, config?: string, more?: string}} options
 *   `ca` is the path of a PEM file that workerd trusts; `broken`: settings that make it answer 500;
 *   `persist` is a folder for KV, the Cache API and Durable Objects that processes share; `registry` one by which their Workers find each other;
 *   `upstream` the host that requests seem to be for; `replaysOf` the Worker whose replay store this one uses; `build` another build than the default one; `config` another configuration than the checkout's;
 *   `settings` may be the text of EDGESEAL; `more` is TOML that is added to the configuration
 */
export async function startWorker({ directory, port, settings, ca, mark, seconds = 60, onStart, broken = false, persist, registry, upstream, replaysOf, vars = {}, build, config, more }) {
  mkdirSync(directory, { recursive: true });
  const others = replaysOf || build || more !== undefined ? ["--config", configuration(directory, { replaysOf, build, more })] : [];
  const [inspectorPort] = await freePorts(1);
  const worker = start({
    name: "wrangler dev",
    command: node22,
    args: [wrangler, "dev", ...(config ? ["--config", config] : []), "--local", "--ip", "127.0.0.1", "--port", String(port), "--inspector-port", String(inspectorPort), "--persist-to", persist ?? join(directory, "wrangler-state"),
      "--show-interactive-dev-session=false", "--test-scheduled", ...others, ...(upstream ? ["--local-upstream", upstream, "--upstream-protocol", "https"] : []),
      "--var", `EDGESEAL:${typeof settings === "string" ? settings : JSON.stringify(settings)}`, ...Object.entries(vars).map(([name, value]) => `${name}:${value}`)],
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

/** The checkout's wrangler.toml with what a variant needs, as a file of its own. */
function configuration(directory, { replaysOf, build, more }) {
  let text = readFileSync(join(root, "wrangler.toml"), "utf8");
  const replace = (from, to) => {
    if (!text.includes(from)) throw new Error(`wrangler.toml has no ${from}`);
    text = text.replace(from, to);
  };
  replace('main = "edge-wasm/build/index.js"', `main = ${JSON.stringify(join(build ?? join(root, "edge-wasm/build"), "index.js"))}`);
  replace('directory = "www/dist"', `directory = ${JSON.stringify(join(root, "www/dist"))}`);
  if (build) replace('command = "node edge-wasm/build.mjs worker"', 'command = "true"');
  else replace('command = "node edge-wasm/build.mjs worker"', `command = "node ${join(root, "edge-wasm/build.mjs")} worker"`);
  if (replaysOf) {
    replace('name = "edgeseal"', 'name = "edgeseal-beside"');
    replace('class_name = "EdgesealReplays"', `class_name = "EdgesealReplays"\nscript_name = ${JSON.stringify(replaysOf)}`);
  }
  // Examples of the environments are not for tests.
  if (more !== undefined) text = `${text.replace(/^\[vars\.EDGESEAL\][\s\S]*$/m, "")}\n${more}`;
  const file = join(directory, "wrangler.toml");
  writeFileSync(file, text);
  return file;
}
