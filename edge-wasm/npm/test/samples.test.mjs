// The README's samples: each is compiled, and run as its reader would.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { after, before, test } from "node:test";

import { openBrowser } from "../../../tests/support/browser.mjs";
import { compile, here, installPacked } from "./packed.mjs";
import { makeKey, seconds } from "./support.mjs";
import { freePort } from "./wrangler.mjs";

const LOGIN = "https://login.example.com";
// This package's page, and the first page of the repository.
const pages = ["README.md", "../../README.md"].map((page) => readFileSync(join(here, page), "utf8"));
const samples = pages.flatMap((page) => [...page.matchAll(/^```(ts|html)\n([\s\S]*?)^```$/gm)]).map(([, kind, code]) => ({ kind, code }));
const key = await makeKey("k1");
const claims = { iss: LOGIN, aud: ["https://api.example.com", "my-client-id"], sub: "alice", exp: seconds() + 600, scope: "read write" };
const token = await key.token(claims);
const jwks = { keys: [key.jwk] };
// The issuer that the samples talk to.
const documents = {
  [`${LOGIN}/.well-known/openid-configuration`]: { issuer: LOGIN, jwks_uri: `${LOGIN}/jwks` },
  [`${LOGIN}/jwks`]: jwks,
};
let packed, project;

before(() => {
  packed = installPacked({ beside: ["hono", "express", "@types", "zod", "valibot", "undici-types"] });
  project = packed.project;
  writeFileSync(join(project, "globals.d.ts"), "declare const token: string;\ndeclare const jwks: { keys: object[] };\n");
  writeFileSync(join(project, "jwks.json"), JSON.stringify(jwks));
  writeFileSync(
    join(project, "world.mjs"),
    `const documents = ${JSON.stringify(documents)};
     const real = fetch;
     globalThis.fetch = async (url, init) => {
       if (!String(url).startsWith("https://")) return real(url, init);
       return url in documents ? Response.json(documents[url]) : new Response(null, { status: 404 });
     };
     globalThis.token = ${JSON.stringify(token)};
     globalThis.jwks = ${JSON.stringify(jwks)};`,
  );
  // What a host does with a module that exports a fetch handler.
  writeFileSync(
    join(project, "handle.mjs"),
    `const { default: app } = await import(process.argv[2]);
     const ask = (init) => app.fetch(new Request("https://api.example.com/api/me", init));
     const answer = await ask({ headers: { authorization: "Bearer " + token } });
     console.log(answer.status, await answer.text(), (await ask()).status);`,
  );
});

after(() => packed.remove());

test("there are samples for every kind of reader", () => {
  const all = samples.map(({ code }) => code).join("");
  for (const sign of ["export default {", 'from "hono"', 'from "express"', "importmap", "node:fs", "jwksUri", "fetch:"]) assert.ok(all.includes(sign), sign);
});

test("every option and code is documented", () => {
  const readme = readFileSync(join(here, "README.md"), "utf8");
  const types = readFileSync(join(here, "src", "types.ts"), "utf8");
  const members = (name) => {
    const [, body] = new RegExp(`export interface ${name}\\b[^{]*\\{\\n([\\s\\S]*?)\\n\\}`).exec(types);
    return [...body.matchAll(/^ {2}(\w+)\??:/gm)].map(([, member]) => member);
  };
  const names = ["IssuerOptions", "SdJwtOptions", "DangerousOptions", "CacheOptions", "HostOptions", "VerifyOptions"].flatMap(members);
  const [, codes] = /export type VerifyErrorCode =([\s\S]*?);/.exec(readFileSync(join(here, "src", "names.ts"), "utf8"));
  names.push(...[...codes.matchAll(/"(\w+)"/g)].map(([, code]) => code));
  assert.ok(names.length > 40, `${names.length} names`);
  assert.deepEqual(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(readme)), []);
});

for (const [index, { kind, code }] of samples.entries()) {
  const name = `sample ${index + 1}: ${code.trim().split("\n")[0]}`;
  if (kind === "html") {
    test(name, (t) => inChromium(t, code));
    continue;
  }
  test(name, async (t) => {
    const port = await freePort();
    writeFileSync(join(project, `sample${index}.ts`), code.replace("app.listen(3000)", `app.listen(${port})`));
    compile(project, [`sample${index}.ts`, "globals.d.ts"], "--types", "node", "--skipLibCheck", "--noEmit", "false");
    const file = `./sample${index}.js`;
    if (code.includes("app.listen(")) await asServer(t, file, port);
    else if (code.includes("export default")) {
      assert.match(await node(t, "handle.mjs", file).done, /^200 \{"hello":"alice"[^}]*\} 401$/m);
    } else await node(t, file, token).done;
  });
}

async function asServer(t, file, port) {
  const server = node(t, file);
  server.done.catch(() => {});
  const me = (init) => fetch(`http://127.0.0.1:${port}/api/me`, init);
  for (const end = Date.now() + 20_000; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
    try {
      const answer = await me({ headers: { authorization: `Bearer ${token}` } });
      assert.deepEqual([answer.status, (await answer.json()).hello, (await me()).status], [200, "alice", 401]);
      return;
    } catch (error) {
      if (error instanceof assert.AssertionError || Date.now() > end) throw new Error(`${error.message}\n${server.output()}`);
    }
  }
}

/** The page on a server of its own, the issuer played by the browser's network. */
async function inChromium(t, html) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    if (pathname === "/") return response.writeHead(200, { "content-type": "text/html" }).end(html);
    if (!pathname.startsWith("/node_modules/edgeseal/")) return response.writeHead(404).end();
    const type = extname(pathname) === ".wasm" ? "application/wasm" : "text/javascript";
    response.writeHead(200, { "content-type": type }).end(readFileSync(join(project, pathname)));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const browser = await openBrowser();
  t.after(() => browser.close());
  const page = await browser.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  await page.route(`${LOGIN}/**`, (route) =>
    route.fulfill({ json: documents[route.request().url()], headers: { "access-control-allow-origin": "*" } }),
  );
  await page.goto(`http://127.0.0.1:${server.address().port}/#id_token=${token}`);
  const output = page.locator("output");
  try {
    await page.waitForFunction(() => document.querySelector("output").textContent !== "", undefined, { timeout: 15_000 });
  } catch {
    assert.fail(`the page shows nothing: ${problems.join("; ")}`);
  }
  assert.equal(await output.textContent(), "Hello alice");
}

/** A program in Node, with the samples' world loaded before it; `done` is what it printed. */
function node(t, ...args) {
  const child = spawn(process.execPath, ["--unhandled-rejections=strict", "--import", "./world.mjs", ...args], { cwd: project });
  t.after(() => child.kill("SIGKILL"));
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (output += data));
  const done = new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => (code === 0 ? resolve(output) : reject(new Error(`exit code ${code}\n${output}`))));
  });
  return { done, output: () => output };
}
