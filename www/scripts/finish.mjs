// After Vite: puts the assets' headers beside the pages, prints what a visitor loads, and fails above the budgets.
import { copyFile, readFile, readdir } from "node:fs/promises";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const KIB = 1024;
const PAGE_BUDGET = 30 * KIB;
// What page and WASM together are meant to reach; the WASM has a budget of its own where it is built.
const TOTAL_GOAL = 250 * KIB;

const dist = fileURLToPath(new URL("../dist/", import.meta.url));
await copyFile(new URL("../site/_headers", import.meta.url), join(dist, "_headers"));

const folder = join(dist, ".edgeseal/playground");
const sizes = { page: 0, wasm: 0 };
for (const name of await readdir(folder)) {
  const size = gzipSync(await readFile(join(folder, name)), { level: 9 }).length;
  sizes[extname(name) === ".wasm" ? "wasm" : "page"] += size;
}
const total = sizes.page + sizes.wasm;
const kib = (size) => `${(size / KIB).toFixed(1)} KiB`;
console.log(`playground, gzipped: page ${kib(sizes.page)} + WASM ${kib(sizes.wasm)} = ${kib(total)}`);

if (sizes.page > PAGE_BUDGET) fail(`the page itself may have ${kib(PAGE_BUDGET)}`);
if (sizes.wasm === 0) fail("no WASM in the build: build the npm package first (node edge-wasm/build.mjs npm)");
if (total > TOTAL_GOAL) console.log(`playground: ${kib(total - TOTAL_GOAL)} above the goal of ${kib(TOTAL_GOAL)}`);

function fail(why) {
  console.error(`www: ${why}`);
  process.exitCode = 1;
}
