// Chromium: a page that gets the contestants bundled; ours comes unbundled through an import map, as its WebAssembly lies beside it.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

import { openBrowser } from "../../support/browser.mjs";
import { bundle, stage } from "../stage.mjs";

const TYPES = { ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm" };

export class ChromiumHost {
  name = "chromium";
  #server;
  #browser;
  #page;

  async start(fixtures) {
    const folder = await stage();
    bundle(folder, "bench/page.mjs", join(folder, "page"), { conditions: ["browser"], external: ["edgeseal"] });
    const origin = await this.#serve(folder, JSON.stringify(fixtures));
    this.#browser = await openBrowser();
    this.#page = await this.#browser.newPage();
    const troubles = [];
    this.#page.on("pageerror", (error) => troubles.push(error.message));
    await this.#page.goto(`${origin}/`);
    try {
      await this.#page.waitForFunction(() => globalThis.bench !== undefined, undefined, { timeout: 15_000 });
    } catch {
      throw new Error(`chromium: the page did not load: ${troubles.join("; ") || "no error was shown"}`);
    }
    await this.#page.evaluate(() => globalThis.bench.load("/fixtures.json"));
  }

  names(algorithm) {
    return this.#page.evaluate((algorithm) => globalThis.bench.names(algorithm), algorithm);
  }

  stats(cell) {
    return this.#page.evaluate((cell) => globalThis.bench.stats(cell), cell);
  }

  run(cell) {
    return this.#page.evaluate((cell) => globalThis.bench.run(cell), cell);
  }

  async stop() {
    await this.#browser?.close();
    this.#server?.closeAllConnections();
    this.#server?.close();
  }

  async #serve(folder, fixtures) {
    const exported = JSON.parse(readFileSync(join(folder, "node_modules/edgeseal/package.json"), "utf8")).exports["."];
    const imports = { edgeseal: normalize(join("/node_modules/edgeseal", exported.browser)) };
    const page = `<!doctype html><title>bench</title><script type="importmap">${JSON.stringify({ imports })}</script><script type="module" src="/page/page.mjs"></script>`;
    const made = { "/": ["text/html", page], "/fixtures.json": ["application/json", fixtures] };
    this.#server = createServer((request, response) => {
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
