// Every command in the fences of the READMEs that are no page of the documentation. Each is played as it stands there, or another test plays it
// and is shown to; a command that the README shows and this file does not know is a failure.
// Those of the signer's README are in commands.test.mjs, the first steps in gateway-config.test.mjs.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { bench } from "../support/harness.mjs";
import { call } from "../support/http.mjs";
import { edgeseal, path, root } from "../support/paths.mjs";
import { start } from "../support/processes.mjs";
import { until } from "../support/wait.mjs";

const here = bench("overviews");
const scratch = (name) => join(here.directory, name);
const CONFIG = scratch("edgeseal-dev/edgeseal.toml");

/**
 * What is done with each command, by the README that shows it: `{ names, in, done }` runs it to its end, with what stands behind its names;
 * `{ names, in, serves }` until that answers, and then ends it; `{ by: [file, text] }` says which test does the same.
 * Without `in` it runs where the reader is told to be: the repository for the first page, the README's own folder for the others.
 */
const PLAYS = {
  "README.md": {
    "make demo": { by: ["tests/e2e/demo.test.mjs", 'make("demo")'] },
    "make test": { by: [".ci/run", "step make test"] },
    "make edge": {},
    "PATH=$PWD/tests/node_modules/node/bin:$PATH edge-wasm/npm/node_modules/.bin/wrangler deploy": { more: `--dry-run --outdir ${scratch("bundle")}`, done: ({ out }) => assert.match(out, /gzip: [\d.]+ KiB/) },
    "make signer": {},
    "target/debug/edgeseal dev": { names: { "target/debug/edgeseal": edgeseal }, in: here.directory, serves: ready },
    "target/debug/edgeseal serve --config FILE": { names: { "target/debug/edgeseal": edgeseal, FILE: CONFIG }, serves: ready, beside: true },
    "target/debug/edgeseal agent --config FILE": { names: { "target/debug/edgeseal": edgeseal, FILE: CONFIG }, serves: tokenFromTheAgent },
    "target/debug/edgeseal doctor --config FILE": { names: { "target/debug/edgeseal": edgeseal, FILE: CONFIG }, done: ({ out }) => assert.match(out, /ES256/) },
  },
  "edge-wasm/templates/README.md": {
    "make edge && npm pack ./edge-wasm/npm": { in: root, more: `--pack-destination ${here.directory}`, done: () => assert.ok(readdirSync(here.directory).includes("edgeseal-0.1.0.tgz")) },
    "cp -r edge-wasm/templates/worker ../my-api": { in: root, names: { "../my-api": scratch("my-api") }, done: () => assert.ok(existsSync(scratch("my-api/wrangler.toml"))) },
    "npm install ../edgeseal/edgeseal-0.1.0.tgz": { by: ["edge-wasm/npm/test/templates.test.mjs", "/^npm install (\\S+)/m"] },
    "npx wrangler dev": { by: ["edge-wasm/npm/test/templates.test.mjs", "startWrangler(t, project"] },
    "npx wrangler deploy": { by: ["edge-wasm/npm/test/templates.test.mjs", '"deploy", "--dry-run"'] },
  },
  "www/README.md": {
    "npm ci": { by: ["tests/scripts/prepare.mjs", '["npm", "--prefix", directory, "ci"]'] },
    "npm run build": { by: ["tests/scripts/prepare.mjs", '["npm", "--prefix", "www", "run", "build"]'] },
    "npm test": { by: ["tests/scripts/test.mjs", '["npm", "--prefix", "www", "test"]'] },
    "npm run dev": { serves: () => shows("http://localhost:5173/playground/", /<title>/) },
    "npm run docs": { serves: () => shows("http://localhost:5173/.edgeseal/", /<div id="app">/) },
    "npm run screens": { names: { "npm run": `EDGESEAL_SCREENS=${scratch("screens")} npm run` }, done: everyPageHasItsPictures },
    "npm run build:console": { by: ["tests/scripts/prepare.mjs", '["npm", "--prefix", "www", "run", "build:console"]'] },
    "npm run dev:console": { serves: () => shows("http://localhost:5173/", /<title>/) },
    "npm run openapi": { before: openapi, done: ({ known }) => assert.deepEqual(openapi(), known) },
  },
  "tests/conformance/README.md": {
    "make conformance": { by: ["tests/scripts/test.mjs", '"tests/conformance/run.mjs", "--host", "all"'] },
    "make conformance CORPUS=file.jsonl HOST=node OUT=verdicts.jsonl": {
      in: root,
      names: { "file.jsonl": scratch("file.jsonl"), "verdicts.jsonl": scratch("verdicts.jsonl") },
      before: () => writeFileSync(scratch("file.jsonl"), `${vectors().join("\n")}\n`),
      done: ({ out }) => {
        assert.match(out, /^20 passed, 0 failed$/m);
        const verdicts = readFileSync(scratch("verdicts.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line));
        assert.deepEqual(verdicts.map(({ id, v }) => [id, v]), vectors().map((line) => JSON.parse(line)).map(({ id, expect }) => [id, expect]));
      },
    },
  },
  "tests/fuzz/README.md": {
    // Seconds, where the reader gives minutes; and beside the committed corpora.
    "make fuzz-smoke": { in: root, more: "MINUTES=0.03", done: ({ out }) => assert.match(out, /^9 passed, 0 failed$/m) },
    "make fuzz MINUTES=10 ONLY=token": { in: root, names: { "MINUTES=10": "MINUTES=0.03" }, done: ({ out }) => assert.match(out, /✓ token +\d+ executions [^]*^1 passed, 0 failed$/m) },
    "node tests/scripts/fuzz.mjs --minimize": { in: root, more: `--only base64url --into ${scratch("corpus")}`, done: () => assert.ok(readdirSync(scratch("corpus/base64url")).length > 10) },
  },
};

for (const [file, plays] of Object.entries(PLAYS)) {
  test(`each command of ${file} does what it says`, async (context) => {
    const shown = commands(file);
    assert.deepEqual(shown.filter((command) => !plays[command]), [], "every command is known here");
    assert.deepEqual(Object.keys(plays).filter((command) => !shown.includes(command)), [], "every command that is known here is shown");
    for (const command of shown) {
      const play = plays[command];
      if (play.by) {
        const [other, text] = play.by;
        assert.ok(readFileSync(join(root, other), "utf8").includes(text), `${command}: nothing in ${other} does it`);
      } else await context.test(command, () => perform(command, play, play.in ?? join(root, file === "README.md" ? "" : dirname(file))));
    }
  });
}

async function perform(command, { names = {}, more = "", before, done, serves, beside }, cwd) {
  const known = before?.();
  const typed = `${Object.entries(names).reduce((text, [name, value]) => text.replace(name, value), command)} ${more}`;
  if (!serves) {
    const { code, out, err } = await shell(typed, cwd);
    assert.equal(code, 0, `${typed}\n${out}${err}`);
    return done?.({ out: out + err, known });
  }
  const started = start({ name: command, command: "sh", args: ["-c", typed], log: scratch("served.log"), cwd, mark: here.mark, env: { PATH: path, NO_COLOR: "1" } });
  if (beside) here.cleanup(() => started.stop());
  try {
    await until(`${command} serves`, serves, { seconds: 120, giveUp: () => started.trouble });
  } finally {
    if (!beside) await started.stop();
  }
}

function shell(command, cwd) {
  const env = { ...process.env, PATH: path, CI: "1", DO_NOT_TRACK: "1", NO_COLOR: "1", WRANGLER_SEND_METRICS: "false", WRANGLER_LOG_PATH: scratch("logs") };
  return new Promise((resolve) => execFile("sh", ["-c", command], { cwd, env, timeout: 600_000, maxBuffer: 1 << 26 }, (error, out, err) => resolve({ code: error ? error.code : 0, out, err })));
}

/** Commands are what stands in fences of shell; a fence that shows what comes out has its commands behind `$`, a drawing has none. */
function commands(file) {
  const elsewhere = readFileSync(join(root, "edge-wasm/README.md"), "utf8");
  const fences = [...readFileSync(join(root, file), "utf8").matchAll(/^```(\S*)\n([\s\S]*?)^```$/gm)].filter(([, language]) => ["", "sh"].includes(language)).map(([, , text]) => text);
  assert.ok(fences.length > 0, `${file} has samples`);
  const found = fences.filter((text) => !/──▶/.test(text) && (file !== "README.md" || !elsewhere.includes(text))).flatMap((text) => {
    const lines = text.split("\n").filter(Boolean);
    const typed = lines.some((line) => line.startsWith("$ ")) ? lines.filter((line) => line.startsWith("$ ")).map((line) => line.slice(2)) : lines;
    return typed.map((line) => line.replace(/\s+#.*$/, "").trim());
  });
  return [...new Set(found)];
}

/** A page of a development server, which may listen on ::1 alone. */
async function shows(url, what) {
  const answer = await fetch(url);
  return answer.status === 200 && what.test(await answer.text());
}

async function ready() {
  return (await call("https://localhost:8443/readyz", { ca: readFileSync(scratch("edgeseal-dev/tls/ca.crt"), "utf8") })).status === 200;
}

async function tokenFromTheAgent() {
  const answer = await call("http://agent/v1/tokens", { socketPath: scratch("edgeseal-dev/agent.sock"), body: { profile: "default", audience: "https://api.example.com", claims: { sub: "alice" } } });
  return answer.status === 200 && answer.json.token;
}

/** Each page of the documentation, at three widths in both themes. */
function everyPageHasItsPictures() {
  const pages = readdirSync(join(root, "www/dist/.edgeseal"), { recursive: true }).filter((file) => file.endsWith(".html") && !/^(?:playground|404)/.test(file));
  const pictures = readdirSync(scratch("screens"));
  for (const page of pages) {
    const name = `docs-${page.slice(0, -".html".length).replaceAll("/", "-")}-`;
    assert.equal(pictures.filter((picture) => new RegExp(`^${name}(?:360|768|1440)-(?:light|dark)\\.png$`).test(picture)).length, 6, name);
  }
}

/** The documents that the console's types and the API reference are made of. */
function openapi() {
  return ["public", "agents", "admin"].map((name) => readFileSync(join(root, `www/openapi/${name}.json`), "utf8"));
}

/** Some lines that every host knows the verdict of. */
function vectors() {
  return readFileSync(join(root, "tests/vectors/claims.jsonl"), "utf8").split("\n").filter((line) => /"expect":\s?"(?:accept|reject)"/.test(line)).slice(0, 20);
}
