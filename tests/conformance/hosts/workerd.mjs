// workerd: a Worker with the packed npm package under the condition `workerd`, served by workerd itself, without wrangler's proxy.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

import { stageFor } from "../stage.mjs";
import { PACKAGE_MODES } from "./modes.mjs";

export class WorkerdHost {
  name = "workerd";
  modes = PACKAGE_MODES;
  /** Small: a chunk that takes too long is halved until the line is found. */
  chunk = { bytes: 1 << 20, lines: 64 };
  #root;
  #child;
  #port;

  constructor({ root }) {
    this.#root = root;
  }

  async start() {
    const stage = await stageFor(this.#root);
    const bundle = join(stage, "worker");
    if (!existsSync(bundle)) bundleWorker(this.#root, stage, bundle);
    const workerd = createRequire(import.meta.url).resolve("workerd/bin/workerd");
    this.#child = spawn(workerd, ["serve", "config.capnp", "--control-fd=3"], { cwd: bundle, stdio: ["ignore", "inherit", "inherit", "pipe"] });
    this.#port = await new Promise((resolve, reject) => {
      let text = "";
      this.#child.on("error", (error) => reject(new Error(`workerd: ${error.message}`)));
      this.#child.on("exit", (status) => reject(new Error(`workerd: it ended with ${status} before it listened`)));
      this.#child.stdio[3].on("data", (data) => {
        text += data;
        const heard = text.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
        const port = heard.find(({ event }) => event === "listen")?.port;
        if (port) resolve(port);
      });
    });
  }

  judge(chunk, mode) {
    return this.#ask({ mode: JSON.stringify(mode) }, chunk);
  }

  /** A case of inside/dos.mjs. The clock stands still inside, so the time is taken outside, less what making the input takes. */
  async hostile(name) {
    const began = performance.now();
    await this.#ask({ made: name }, Buffer.of());
    const made = performance.now();
    const judged = await this.#ask({ hostile: name }, Buffer.of());
    return { ...judged, ms: performance.now() - made - (made - began) };
  }

  #ask(query, chunk) {
    return new Promise((resolve, reject) => {
      const fail = (reason) => reject(new Error(`workerd: ${reason}`));
      const sent = request({ host: "127.0.0.1", port: this.#port, path: `/?${new URLSearchParams(query)}`, method: "POST", headers: { "content-length": chunk.length } }, (response) => {
        const body = [];
        response.on("data", (data) => body.push(data));
        response.on("error", (error) => fail(error.message));
        response.on("end", () => {
          const text = Buffer.concat(body).toString("utf8");
          if (response.statusCode === 200) resolve(JSON.parse(text));
          else fail(`HTTP ${response.statusCode}: ${text.slice(0, 200)}`);
        });
      });
      sent.on("error", (error) => fail(error.message));
      sent.end(chunk);
    });
  }

  async stop() {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null) return;
    const gone = new Promise((resolve) => child.on("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }
}

/** One JavaScript module and one WebAssembly module, as `wrangler deploy` would upload them. */
function bundleWorker(root, stage, bundle) {
  let esbuild;
  try {
    esbuild = createRequire(join(root, "edge-wasm/npm/package.json"))("esbuild");
  } catch {
    throw new Error("workerd: esbuild is missing: run `npm --prefix edge-wasm/npm ci`");
  }
  esbuild.buildSync({
    entryPoints: [join(stage, "worker.mjs")],
    bundle: true,
    format: "esm",
    conditions: ["workerd"],
    external: ["cloudflare:*"],
    loader: { ".wasm": "copy" },
    outdir: bundle,
    outExtension: { ".js": ".mjs" },
    logLevel: "warning",
  });
  const modules = readdirSync(bundle).filter((name) => name.endsWith(".wasm")).map((name) => `(name = "./${name}", wasm = embed "${name}")`);
  writeFileSync(
    join(bundle, "config.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "conformance", worker = .conformance)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "conformance")],
);
const conformance :Workerd.Worker = (
  modules = [${[`(name = "worker.mjs", esModule = embed "worker.mjs")`, ...modules].join(", ")}],
  compatibilityDate = "2026-09-01",
);
`,
  );
}
