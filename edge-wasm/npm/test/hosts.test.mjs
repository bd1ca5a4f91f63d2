// One suite, every host: the cases of suite/cases.mjs with the packed package, in each as it is imported there.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, extname, join, normalize } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { buildSync } from "esbuild";

import { chromium, node22 } from "../../../tests/support/paths.mjs";
import { openBrowser } from "../../../tests/support/browser.mjs";
import { here, installPacked } from "./packed.mjs";
import { startIssuers } from "./suite/server.mjs";
import { startWorkerd } from "./workerd.mjs";

const hosts = join(here, "test", "hosts", "node_modules");
const TYPES = { ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm", ".html": "text/html" };
let packed, issuers;

before(async () => {
  packed = installPacked();
  cpSync(join(here, "test", "suite"), join(packed.project, "suite"), { recursive: true });
  issuers = await startIssuers(serveProject);
});

after(() => {
  issuers.close();
  packed.remove();
});

/** The page that the cases are in, in Chromium. */
const inChromium = (path) => async (t) => {
  chromium();
  const browser = await openBrowser();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(issuers.pages + path);
  await page.waitForFunction(() => typeof globalThis.runAll === "function", undefined, { timeout: 15_000 });
  return page.evaluate((origin) => globalThis.runAll(origin), issuers.origin);
};

const inProcess = (command, ...args) => async () => {
  assert.ok(existsSync(command), `${command} is missing: run \`npm --prefix edge-wasm/npm/test/hosts ci\``);
  const { stdout } = await promisify(execFile)(command, [...args, join("suite", "process.mjs"), issuers.origin], { cwd: packed.project });
  return stdout.trim().split("\n").map((line) => JSON.parse(line));
};

for (const [name, run] of Object.entries({
  "Node 20": inProcess(join(hosts, "node20", "bin", "node"), "--unhandled-rejections=strict"),
  "Node 22": inProcess(node22, "--unhandled-rejections=strict"),
  Deno: inProcess(join(hosts, "deno", "deno"), "run", "--allow-read", "--allow-net=127.0.0.1", "--allow-env"),
  Bun: inProcess(join(hosts, "bun", "bin", "bun.exe"), "run"),
  workerd: async (t) => {
    const url = await startWorkerd(t, packed.project, join("suite", "worker.mjs"));
    const text = await (await fetch(`${url}/?origin=${encodeURIComponent(issuers.origin)}`)).text();
    return text.split("\n").map((line) => JSON.parse(line));
  },
  Chromium: inChromium("/page.html"),
  "Chromium, bundled by esbuild": async (t) => {
    buildSync({ absWorkingDir: packed.project, entryPoints: ["suite/page.mjs"], bundle: true, format: "esm", outfile: "bundled/page.mjs", logLevel: "warning" });
    // It leaves the URL as it is: `../wasm/` from the bundle, as the README says.
    const { resolve } = createRequire(join(packed.project, "package.json"));
    for (const name of ["edge", "full"]) {
      const file = resolve(`edgeseal/wasm/${name}_bg.wasm`);
      cpSync(file, join(packed.project, "wasm", basename(file)));
    }
    return inChromium("/bundled.html")(t);
  },
})) {
  test(name, async (t) => {
    const results = await run(t);
    assert.ok(results.length >= 15, `${results.length} cases ran`);
    for (const { name, error } of results) await t.test(name, () => error === null || assert.fail(error));
  });
}

/** The project's files for Chromium, which imports the package by its condition `browser` without a bundler, or what one made of it. */
function serveProject(path, response) {
  const { exports } = JSON.parse(readFileSync(join(packed.installed, "package.json"), "utf8"));
  const entry = (name) => normalize(join("/node_modules/edgeseal", exports[name].browser));
  const imports = { edgeseal: entry("."), "edgeseal/reference": entry("./reference") };
  const page = (more) => `<!doctype html><title>suite</title>${more}</script>`;
  const pages = {
    "/page.html": page(`<script type="importmap">${JSON.stringify({ imports })}</script><script type="module" src="/suite/page.mjs">`),
    "/bundled.html": page('<script type="module" src="/bundled/page.mjs">'),
  };
  const file = join(packed.project, normalize(path));
  if (!(path in pages) && !existsSync(file)) return undefined;
  return response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "text/plain" }).end(pages[path] ?? readFileSync(file));
}
