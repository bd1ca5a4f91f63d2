// workerd itself, without wrangler's proxy. Time stands still inside a request: it is taken outside, around requests of many
// verifications, and what an empty request takes is taken off.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

import { median } from "../measure.mjs";
import { bundle, stage } from "../stage.mjs";
import { cpuMs } from "./cpu.mjs";

const workerd = createRequire(import.meta.url).resolve("workerd/bin/workerd");
const EMPTY = { contestant: "webcrypto", kase: "distinct", from: 0, count: 0 };

export class WorkerdHost {
  name = "workerd";
  #cpu;
  #served;
  #overhead = 0;

  /** @param {{cpu?: boolean}} [options] cpu: take the processor's time, not the clock's */
  constructor({ cpu = false } = {}) {
    this.#cpu = cpu;
  }

  async start(fixtures) {
    this.#served = await serve("worker.mjs");
    await this.#ask("load", fixtures);
    const [algorithm] = Object.keys(fixtures);
    const empty = [];
    while (empty.length < 41) empty.push(await this.run({ ...EMPTY, algorithm }));
    this.#overhead = median(empty);
  }

  names(algorithm) {
    return this.#ask("names", algorithm);
  }

  stats(cell) {
    return this.#ask("stats", cell);
  }

  async run(cell) {
    const clock = () => (this.#cpu ? cpuMs(this.#served.pid) : performance.now());
    const began = clock();
    await this.#ask("run", cell);
    return Math.max(clock() - began - this.#overhead, 0.001);
  }

  async stop() {
    await this.#served?.stop();
  }

  async #ask(act, argument) {
    return JSON.parse(await this.#served.post(`/${act}`, JSON.stringify(argument)));
  }
}

/** Serves one entry of the stage, bundled as `wrangler deploy` would upload it: one JavaScript module, and WebAssembly modules. */
export async function serve(entry) {
  const folder = join(await stage(), `serve-${entry.replace(".mjs", "")}`);
  if (!existsSync(folder)) {
    bundle(await stage(), `bench/${entry}`, folder, { conditions: ["workerd", "browser"], external: ["cloudflare:*"] });
    const modules = readdirSync(folder).filter((name) => name.endsWith(".wasm")).map((name) => `(name = "./${name}", wasm = embed "${name}")`);
    writeFileSync(join(folder, "config.capnp"), configuration(entry, modules));
  }
  const began = performance.now();
  const child = spawn(workerd, ["serve", "config.capnp", "--control-fd=3"], { cwd: folder, stdio: ["ignore", "inherit", "inherit", "pipe"] });
  const port = await listening(child);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    began,
    pid: child.pid,
    post: (path, body) => post(agent, port, path, body),
    async stop() {
      agent.destroy();
      if (child.exitCode !== null) return;
      const gone = new Promise((resolve) => child.on("exit", resolve));
      child.kill("SIGKILL");
      await gone;
    },
  };
}

function configuration(entry, modules) {
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "bench", worker = .bench)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "bench")],
);
const bench :Workerd.Worker = (
  modules = [${[`(name = "${entry}", esModule = embed "${entry}")`, ...modules].join(", ")}],
  compatibilityDate = "2026-09-01",
);
`;
}

function listening(child) {
  return new Promise((resolve, reject) => {
    let text = "";
    child.on("error", (error) => reject(new Error(`workerd: ${error.message}`)));
    child.on("exit", (status) => reject(new Error(`workerd: it ended with ${status} before it listened`)));
    child.stdio[3].on("data", (data) => {
      text += data;
      const port = text.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line)).find(({ event }) => event === "listen")?.port;
      if (port) resolve(port);
    });
  });
}

function post(agent, port, path, body) {
  return new Promise((resolve, reject) => {
    const fail = (reason) => reject(new Error(`workerd: ${reason}`));
    const sent = request({ agent, host: "127.0.0.1", port, path, method: "POST", headers: { "content-length": Buffer.byteLength(body) } }, (response) => {
      const parts = [];
      response.on("data", (data) => parts.push(data));
      response.on("error", (error) => fail(error.message));
      response.on("end", () => {
        const text = Buffer.concat(parts).toString("utf8");
        if (response.statusCode === 200) resolve(text);
        else fail(`HTTP ${response.statusCode}: ${text.slice(0, 400)}`);
      });
    });
    sent.setNoDelay(true);
    sent.on("error", (error) => fail(error.message));
    sent.end(body);
  });
}
