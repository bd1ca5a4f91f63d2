// The gateway in workerd itself, without wrangler: what a deployment uploads, and bindings as the platform would give them.

import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { root } from "./paths.mjs";
import { start } from "./processes.mjs";
import { until } from "./wait.mjs";
import { call } from "./http.mjs";

export const workerd = createRequire(import.meta.url).resolve("workerd/bin/workerd");
/** The date of wrangler.toml is the newest that wrangler knows; workerd of the tests is older. */
const COMPATIBILITY_DATE = "2026-09-01";

/**
 * Writes the configuration of a workerd that serves the gateway.
 * @param {string} folder
 * @param {{settings: object, sockets: Record<string, {port: number, cfBlobHeader?: string}>, build?: string, vars?: Record<string, string>, wrapped?: Record<string, string>}} options
 *   `cfBlobHeader` names the header whose JSON text becomes `request.cf`: what the platform's own servers do in front of workerd; `wrapped` are
 *   bindings of the test's own, each the expression of an object: the replay store's among them, where it takes that name
 */
export function writeConfiguration(folder, { settings, sockets, build = join(root, "edge-wasm/build"), vars = {}, wrapped = {} }) {
  mkdirSync(join(folder, "objects"), { recursive: true });
  for (const name of ["index.js", "index_bg.wasm"]) copyFileSync(join(build, name), join(folder, name));
  const texts = { EDGESEAL: JSON.stringify(settings), ...vars };
  const bindings = Object.entries(texts).map(([name, text]) => `(name = ${JSON.stringify(name)}, text = ${JSON.stringify(text)})`);
  if (!wrapped.EDGESEAL_REPLAYS) bindings.push('(name = "EDGESEAL_REPLAYS", durableObjectNamespace = "EdgesealReplays")');
  bindings.push(...Object.keys(wrapped).map((name) => `(name = "${name}", wrapped = (moduleName = "test:${name}", innerBindings = []))`));
  const extensions = Object.entries(wrapped).map(([name, object]) => `(name = "test:${name}", internal = true, esModule = ${JSON.stringify(`export default () => (${object});`)})`);
  const listening = Object.entries(sockets).map(([name, { port, cfBlobHeader }]) => {
    const http = cfBlobHeader ? `(cfBlobHeader = ${JSON.stringify(cfBlobHeader)})` : "()";
    return `(name = ${JSON.stringify(name)}, address = "127.0.0.1:${port}", http = ${http}, service = "gateway")`;
  });
  writeFileSync(join(folder, "config.capnp"), `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "gateway", worker = .gateway),
    (name = "disk", disk = (path = ${JSON.stringify(join(folder, "objects"))}, writable = true)),
    (name = "internet", network = (allow = ["public", "private", "local"])),
  ],
  sockets = [${listening.join(", ")}],
  extensions = [(modules = [${extensions.join(", ")}])],
);
const gateway :Workerd.Worker = (
  modules = [(name = "index.js", esModule = embed "index.js"), (name = "./index_bg.wasm", wasm = embed "index_bg.wasm")],
  compatibilityDate = "${COMPATIBILITY_DATE}",
  bindings = [${bindings.join(", ")}],
  durableObjectNamespaces = [(className = "EdgesealReplays", uniqueKey = "edgeseal-replays", enableSql = true)],
  durableObjectStorage = (localDisk = "disk"),
);
`);
}

/** Starts it; `sockets` are those of the configuration. */
export async function startWorkerd({ folder, mark, sockets, ...options }) {
  writeConfiguration(folder, { sockets, ...options });
  const served = start({ name: "workerd", command: workerd, args: ["serve", "--experimental", "config.capnp"], log: join(folder, "workerd.log"), cwd: folder, mark, env: {} });
  const [{ port }] = Object.values(sockets);
  await until("workerd answers", async () => (await call(`http://127.0.0.1:${port}/.edgeseal/health`)).status > 0, { seconds: 30, every: 50, giveUp: () => served.trouble });
  return served;
}
