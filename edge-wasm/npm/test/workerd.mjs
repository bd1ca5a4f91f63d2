// workerd itself, without wrangler: a module and what it imports, bundled as an upload would be.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { buildSync } from "esbuild";

/** Starts the Worker `entry` of the project; returns its URL. It ends with the test. */
export async function startWorkerd(t, project, entry) {
  const folder = mkdtempSync(join(project, "worker-"));
  buildSync({
    absWorkingDir: project,
    entryPoints: { worker: entry },
    bundle: true,
    format: "esm",
    conditions: ["workerd", "worker"],
    external: ["cloudflare:*"],
    loader: { ".wasm": "copy" },
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    logLevel: "warning",
  });
  const modules = readdirSync(folder).filter((name) => name.endsWith(".wasm")).map((name) => `(name = "./${name}", wasm = embed "${name}")`);
  writeFileSync(
    join(folder, "config.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "worker", worker = .worker), (name = "internet", network = (allow = ["public", "private", "local"]))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "worker")],
);
const worker :Workerd.Worker = (
  modules = [${['(name = "worker.mjs", esModule = embed "worker.mjs")', ...modules].join(", ")}],
  compatibilityDate = "2026-09-01",
);
`,
  );
  const workerd = createRequire(import.meta.url).resolve("workerd/bin/workerd");
  const child = spawn(workerd, ["serve", "config.capnp", "--control-fd=3"], { cwd: folder, stdio: ["ignore", "pipe", "pipe", "pipe"] });
  let log = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (log += data));
  t.after(async () => {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  let control = "";
  for await (const data of child.stdio[3]) {
    control += data;
    const heard = control.split("\n").filter((line) => line.startsWith("{") && line.endsWith("}")).map((line) => JSON.parse(line));
    const port = heard.find(({ event }) => event === "listen")?.port;
    if (port) return `http://127.0.0.1:${port}`;
  }
  assert.fail(`workerd ended before it listened:\n${log}`);
}
