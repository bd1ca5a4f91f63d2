// Chromium: the system's browser, driven by playwright-core; a page imports the packed npm package through an import map under the
// condition `browser`, without any bundler.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { extname, join, normalize } from "node:path";

import { chromium as playwright } from "playwright-core";

import { chromium } from "../../support/paths.mjs";
import { stageFor } from "../stage.mjs";
import { PACKAGE_MODES } from "./modes.mjs";

const TYPES = { ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm", ".html": "text/html" };

export class ChromiumHost {
  name = "chromium";
  modes = PACKAGE_MODES;
  chunk = { bytes: 4 << 20, lines: 512 };
  #root;
  #server;
  #origin;
  #browser;
  #page;
  #chunks = new Map();
  #next = 0;

  constructor({ root }) {
    this.#root = root;
  }

  async start() {
    const executablePath = chromium();
    await this.#serve(await stageFor(this.#root));
    this.#browser = await playwright.launch({
      executablePath,
      headless: true,
      args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-dev-shm-usage"],
    });
    this.#page = await this.#browser.newPage();
    const troubles = [];
    this.#page.on("pageerror", (error) => troubles.push(error.message));
    this.#page.on("console", (message) => message.type() === "error" && troubles.push(message.text()));
    await this.#page.goto(`${this.#origin}/page.html`);
    try {
      await this.#page.waitForFunction(() => typeof globalThis.judgeChunk === "function", undefined, { timeout: 15_000 });
    } catch {
      throw new Error(`chromium: the page did not load the package: ${troubles.join("; ") || "no error was shown"}`);
    }
  }

  async judge(chunk, mode) {
    const path = `/chunk/${(this.#next += 1)}`;
    this.#chunks.set(path, chunk);
    try {
      return await this.#page.evaluate(([url, mode]) => globalThis.judgeChunk(url, mode), [path, mode]);
    } finally {
      this.#chunks.delete(path);
    }
  }

  /** A case of inside/dos.mjs. */
  hostile(name) {
    return this.#page.evaluate((name) => globalThis.hostile(name), name);
  }

  async stop() {
    const browser = this.#browser;
    this.#browser = undefined;
    this.#page = undefined;
    // A page that hangs would keep an orderly close waiting.
    if (browser) await Promise.race([browser.close(), new Promise((resolve) => setTimeout(resolve, 5_000).unref())]);
    this.#server?.closeAllConnections();
    this.#server?.close();
    this.#server = undefined;
  }

  async #serve(stage) {
    const exported = JSON.parse(readFileSync(join(stage, "node_modules/edgeseal/package.json"), "utf8")).exports;
    const entry = (name) => join("/node_modules/edgeseal", exported[name].browser ?? exported[name].default);
    const imports = JSON.stringify({ imports: { edgeseal: entry("."), "edgeseal/reference": entry("./reference") } });
    const page = `<!doctype html><title>conformance</title><script type="importmap">${imports}</script><script type="module" src="/page.mjs"></script>`;
    this.#server = createServer((request, response) => {
      const path = normalize(new URL(request.url, "http://localhost").pathname);
      const body = path === "/page.html" ? page : (this.#chunks.get(path) ?? readFile(join(stage, path)));
      if (body === undefined) response.writeHead(404).end();
      else response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" }).end(body);
    });
    await new Promise((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.#origin = `http://127.0.0.1:${this.#server.address().port}`;
  }
}

function readFile(path) {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
