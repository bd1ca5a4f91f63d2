// After Vite: puts the assets' headers beside the pages, prints what a visitor loads, and fails above the budgets.
import { createHash } from "node:crypto";
import { copyFile, readFile, readdir, writeFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const KIB = 1024;
const PAGE_BUDGET = 30 * KIB;
const TOTAL_BUDGET = 250 * KIB;

const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const pages = (await readdir(join(dist, ".edgeseal"), { recursive: true })).filter((name) => name.endsWith(".html"));
const own = pages.filter((name) => !name.startsWith("playground/"));
if (own.length === 0) fail("no documentation in the build");

// The documentation's own scripts that stand inside its pages (the theme, before the first paint) are allowed by their hashes.
const hashes = new Set();
for (const page of own) {
  const html = await readFile(join(dist, ".edgeseal", page), "utf8");
  for (const [, text] of html.matchAll(/<script(?![^>]*\bsrc=)[^>]*>([\s\S]*?)<\/script>/g)) {
    hashes.add(`'sha256-${createHash("sha256").update(text).digest("base64")}'`);
  }
}
const headers = await readFile(new URL("../site/_headers", import.meta.url), "utf8");
await writeFile(join(dist, "_headers"), headers.replaceAll("INLINE_SCRIPTS", [...hashes].sort().join(" ")));

await copyFile(new URL("../../core/src/gateway/schema.json", import.meta.url), join(dist, ".edgeseal/schema.json"));

const folder = join(dist, ".edgeseal/playground");
const sizes = { page: 0, wasm: 0 };
for (const name of await readdir(folder)) {
  const size = gzipSync(await readFile(join(folder, name)), { level: 9 }).length;
  sizes[extname(name) === ".wasm" ? "wasm" : "page"] += size;
}
const total = sizes.page + sizes.wasm;
const kib = (size) => `${(size / KIB).toFixed(1)} KiB`;
console.log(`playground, gzipped: page ${kib(sizes.page)} + WASM ${kib(sizes.wasm)} = ${kib(total)} of at most ${kib(TOTAL_BUDGET)}`);

if (sizes.page > PAGE_BUDGET) fail(`the page itself may have ${kib(PAGE_BUDGET)}`);
if (sizes.wasm === 0) fail("no WASM in the build: build the npm package first (node edge-wasm/build.mjs npm)");
if (total > TOTAL_BUDGET) fail(`the playground with its WASM may have ${kib(TOTAL_BUDGET)}`);

function fail(why) {
  console.error(`www: ${why}`);
  process.exitCode = 1;
}
