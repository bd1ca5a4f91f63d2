// After Vite: says what the first visit loads, and fails above the budget. Counted is all that the page asks for before it
// stands: the document, styles, fonts, the entry and what it imports, the English texts, and the chunk of the largest page
// with its imports. The manifest that says so does not ship.
import { readFile, readdir, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";

const KIB = 1024;
const BUDGET = 350 * KIB;

const dist = new URL("../console/dist/", import.meta.url);
const manifest = JSON.parse(await readFile(new URL(".vite/manifest.json", dist), "utf8"));
await rm(fileURLToPath(new URL(".vite", dist)), { recursive: true });

const entry = Object.values(manifest).find((chunk) => chunk.isEntry);
if (!entry) throw new Error("the build has no entry");
const pages = Object.entries(manifest).filter(([name]) => /src\/pages\//.test(name));

const styles = manifest["style.css"]?.file;
if (!styles) throw new Error("the build has no styles");
const common = new Set([...filesOf(entry), styles]);
let largest = { name: "", total: 0 };
for (const [name, chunk] of pages) {
  const files = new Set([...common, ...filesOf(chunk), "index.html", "seal.svg"]);
  let total = 0;
  for (const file of files) total += gzipSync(await readFile(new URL(file, dist)), { level: 9 }).length;
  if (total > largest.total) largest = { name, total };
}
const kib = (size) => `${(size / KIB).toFixed(0)} KiB`;
console.log(`console, gzipped: first load at most ${kib(largest.total)} of at most ${kib(BUDGET)} (${largest.name}, fonts included)`);
if (pages.length === 0 || largest.total === 0) fail("no page was found in the build");
if (largest.total > BUDGET) fail(`the first load may have ${kib(BUDGET)}`);

// The signer packs nothing as it serves: what packs well stands here packed, and it sends that to whoever takes it.
for (const file of await readdir(dist, { recursive: true })) {
  if (!/\.(js|css|html|svg|json)$/.test(file)) continue;
  const whole = await readFile(new URL(file, dist));
  await writeFile(new URL(`${file}.br`, dist), brotliCompressSync(whole));
  await writeFile(new URL(`${file}.gz`, dist), gzipSync(whole, { level: 9 }));
}

/** A chunk, its styles and fonts, and all that it imports at once. */
function filesOf(chunk, seen = new Set()) {
  if (seen.has(chunk.file)) return seen;
  for (const file of [chunk.file, ...(chunk.css ?? []), ...(chunk.assets ?? [])]) seen.add(file);
  for (const name of chunk.imports ?? []) filesOf(manifest[name], seen);
  return seen;
}

function fail(why) {
  console.error(`www: ${why}`);
  process.exitCode = 1;
}
