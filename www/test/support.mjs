// A static server over www/dist and a Chromium of our own: what the tests and the screenshot script share.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium as playwright } from "playwright-core";
import { chromium } from "../../tests/support/paths.mjs";

export const DIST = process.env.EDGESEAL_WWW_DIST ?? fileURLToPath(new URL("../dist/", import.meta.url));
export const PLAYGROUND = "/.edgeseal/playground/";

const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

/** Serves www/dist with the headers of its `_headers`, as the Worker's assets do. Returns the origin and how to stop. */
export async function serveDist() {
  const headers = await readHeaders();
  const server = createServer(async (request, response) => {
    try {
      const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
      const file = normalize(join(DIST, path.endsWith("/") ? `${path}index.html` : path));
      if (!file.startsWith(normalize(DIST))) throw new Error("outside the folder");
      const body = await readFile(extname(file) ? file : `${file}.html`);
      response.writeHead(200, { ...headers(path), "content-type": TYPES[extname(file) || ".html"] ?? "application/octet-stream" });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://localhost:${server.address().port}`,
    stop: () => new Promise((resolve) => server.close(resolve).closeAllConnections()),
  };
}

/** The machine's Chromium with a fresh profile; `EDGESEAL_CHROMIUM` names another one. */
export function launchChromium() {
  return playwright.launch({
    executablePath: chromium(),
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** Opens the playground and waits until its verifier is loaded. */
export async function openPlayground(page, origin, fragment = "") {
  await page.goto(`${origin}${PLAYGROUND}${fragment}`);
  await page.waitForSelector("html[data-ready=true]");
  await verdict(page);
}

/** The verdict once there is one: state, code and the check that refused. */
export async function verdict(page) {
  const element = await page.waitForSelector(`[data-testid=verdict]:not([data-state=running])`);
  return element.evaluate(({ dataset }) => ({ state: dataset.state, code: dataset.code, check: dataset.check }));
}

/** The state of every check by its name, in the order of the page. */
export function checks(page) {
  return page.$$eval("[data-testid^=check-]", (items) =>
    Object.fromEntries(items.map((item) => [item.dataset.testid.slice("check-".length), item.dataset.state])),
  );
}

// The part of Cloudflare's format that the file uses: a path with * at its end, "Name: value", and "! Name" for a header that an
// earlier rule has set.
async function readHeaders() {
  const rules = [];
  for (const line of (await readFile(join(DIST, "_headers"), "utf8")).split("\n").filter(Boolean)) {
    if (!line.startsWith("  ")) rules.push({ prefix: line.replace(/\*$/, ""), lines: [] });
    else rules.at(-1).lines.push(line.trim());
  }
  return (path) => {
    const headers = {};
    for (const { lines } of rules.filter(({ prefix }) => path.startsWith(prefix))) {
      for (const line of lines) {
        if (line.startsWith("! ")) delete headers[line.slice(2)];
        else headers[line.slice(0, line.indexOf(":"))] = line.slice(line.indexOf(":") + 1).trim();
      }
    }
    return headers;
  };
}
