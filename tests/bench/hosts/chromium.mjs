// Chromium as its users have it: a page that gets the contestants bundled; ours comes unbundled through an import map, as its WebAssembly
// lies beside it. The page asks what to do. No inspector is attached, for which V8 keeps a second stack of every error that is made.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";

import { FLAGS } from "../../support/browser.mjs";
import { chromium } from "../../support/paths.mjs";
import { start } from "../../support/processes.mjs";
import { until } from "../../support/wait.mjs";
import { bundle, stage } from "../stage.mjs";

const TYPES = { ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm" };

export class ChromiumHost {
  name = "chromium";
  #profile = mkdtempSync(join(tmpdir(), "edgeseal-bench-chromium-"));
  #server;
  #browser;
  #gone;
  /** The page's request for something to do, and who waits for what it says. */
  #idle;
  #waiting;

  async start(fixtures) {
    const folder = await stage();
    bundle(folder, "bench/page.mjs", join(folder, "page"), { conditions: ["browser"], external: ["edgeseal"] });
    const origin = await this.#serve(folder, JSON.stringify(fixtures));
    const args = [...FLAGS, "--headless", `--user-data-dir=${this.#profile}`, `${origin}/`];
    this.#browser = start({ name: "chromium", command: chromium(), args, log: join(this.#profile, "chromium.log"), mark: `bench-${process.pid}` });
    this.#gone = this.#browser.exited(86_400).then(() => Promise.reject(new Error(this.#browser.trouble)));
    this.#gone.catch(() => {});
    await this.#ask("load", "/fixtures.json");
  }

  names(algorithm) {
    return this.#ask("names", algorithm);
  }

  stats(cell) {
    return this.#ask("stats", cell);
  }

  run(cell) {
    return this.#ask("run", cell);
  }

  async stop() {
    await this.#browser?.stop();
    this.#server?.closeAllConnections();
    this.#server?.close();
    rmSync(this.#profile, { recursive: true, force: true });
  }

  async #ask(act, argument) {
    const said = new Promise((resolve) => (this.#waiting = resolve));
    await until("chromium: the page asks what to do", () => this.#idle, { every: 1, giveUp: () => this.#browser.trouble });
    const response = this.#idle;
    this.#idle = undefined;
    response.end(JSON.stringify({ act, argument }));
    const { answer, trouble } = await Promise.race([said, this.#gone]);
    if (trouble !== undefined) throw new Error(`chromium: ${trouble}`);
    return answer;
  }

  async #serve(folder, fixtures) {
    const exported = JSON.parse(readFileSync(join(folder, "node_modules/edgeseal/package.json"), "utf8")).exports["."];
    const imports = { edgeseal: normalize(join("/node_modules/edgeseal", exported.browser)) };
    const page = `<!doctype html><title>bench</title><script type="importmap">${JSON.stringify({ imports })}</script><script type="module" src="/page/page.mjs"></script>`;
    const made = { "/": ["text/html", page], "/fixtures.json": ["application/json", fixtures] };
    this.#server = createServer(async (request, response) => {
      if (request.url === "/next") return (this.#idle = response);
      if (request.url === "/said") {
        const chunks = await Array.fromAsync(request);
        response.end();
        return this.#waiting(JSON.parse(Buffer.concat(chunks).toString()));
      }
      const path = normalize(new URL(request.url, "http://localhost").pathname);
      const [type, body] = made[path] ?? [TYPES[extname(path)] ?? "application/octet-stream", read(join(folder, path))];
      if (body === undefined) response.writeHead(404).end();
      else response.writeHead(200, { "content-type": type }).end(body);
    });
    await new Promise((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${this.#server.address().port}`;
  }
}

function read(path) {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
