// The gateway's rules in workerd: a signer's tokens and those of a test key, in front of an origin that tells what it saw.

import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, request as http } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { before, test } from "node:test";

import { AUDIENCE, assertProblem, bench, tokenOf } from "../support/harness.mjs";
import { call } from "../support/http.mjs";
import { cli } from "../support/signer.mjs";
import { root } from "../support/paths.mjs";
import { flipSignatureBit } from "../support/tamper.mjs";
import { until } from "../support/wait.mjs";
import { acceptWebSocket, openWebSocket } from "../support/websocket.mjs";

const here = bench("gateway");
const table = JSON.parse(readFileSync(join(root, "tests/vectors/gateway/hostile.json"), "utf8"));
const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const OTHER = "https://other.example";
const b64 = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const signed = (claims, header = {}) => {
  const input = `${b64({ alg: "ES256", kid: "k", ...header })}.${b64(claims)}`;
  return `${input}.${sign("sha256", Buffer.from(input), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
};
const now = Math.floor(Date.now() / 1000);
/** A token of the other issuer, whose claims the test chooses. */
const other = (claims = {}) => signed({ iss: OTHER, aud: AUDIENCE, exp: now + 3600, sub: "bob", ...claims });

const APP = "https://app.example.com";
const settings = (origin, signer) => ({
  origin,
  issuers: [
    { issuer: signer.ready.issuer, audience: AUDIENCE, algorithms: ["ES256"] },
    { issuer: OTHER, audience: AUDIENCE, algorithms: ["ES256"], jwks: { keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k", alg: "ES256" }] }, sd_jwt: { key_binding: "where_bound", allow_plain: true } },
  ],
  token: { cookie: "session", query: "access_token", origins: [APP] },
  claim_headers: { "x-user": "sub", "x-roles": "/realm_access/roles", "x-name": "name" },
  cors: { origins: [APP] },
  routes: [
    ...table.routes,
    { match: "/optional/*", access: "optional" },
    { match: "/scoped", require: { scope: "orders:read orders:write" } },
    { match: "/any", require: { scope: { any: ["a", "b"] } } },
    { match: "/roles", require: { roles: { any: ["editor", "owner"] } } },
    { match: "/claims", require: { claims: { tenant: { any: ["t1", "t2"] }, "/realm_access/roles": "x", verified: true } } },
    { match: "/signer", issuers: [signer.ready.issuer] },
    { match: "/keeps", forward_token: true },
    { match: "/presented/*", sd_jwt: true },
    { match: "/methods/*", methods: ["GET"], access: "public" },
    { match: "/limited", rate_limit: { binding: "LIMITER", key: "subject", retry_after: 60 } },
    { match: "/limited-ip", access: "public", rate_limit: { binding: "LIMITER_IP", key: "ip", retry_after: 10 } },
    { match: "/cors", cors: { origins: ["https://b.example"], credentials: true } },
  ],
});

let signer, worker, origin;
/** What the origin saw since the last look. */
const seen = () => origin.requests.splice(0);

before(async () => {
  signer = await here.signer();
  origin = await echoOrigin();
  worker = await here.worker(settings(origin.url, signer), {
    ca: signer.ready.ca,
    more: '[[ratelimits]]\nname = "LIMITER"\nnamespace_id = "1"\nsimple = { limit = 3, period = 60 }\n[[ratelimits]]\nname = "LIMITER_IP"\nnamespace_id = "2"\nsimple = { limit = 2, period = 60 }\n',
  });
});

/** Answers with what it saw; `/slow` streams, `/duplex` echoes as it comes, an upgrade echoes messages. */
async function echoOrigin() {
  const requests = [];
  const server = createServer((request, response) => {
    const seen = { method: request.method, url: request.url, headers: request.headers, rawHeaders: request.rawHeaders };
    requests.push(seen);
    if (request.url.startsWith("/public/duplex")) {
      response.writeHead(200, { "content-type": "application/octet-stream" });
      response.flushHeaders();
      request.pipe(response);
      return;
    }
    if (request.url.startsWith("/public/slow")) {
      response.writeHead(200, { "content-type": "text/plain", "x-from": "origin" });
      response.write("first\n");
      here.release = () => response.end("last\n");
      return;
    }
    if (request.url.startsWith("/public/redirect")) return response.writeHead(302, { location: "/elsewhere" }).end();
    request.resume();
    request.on("end", () => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(seen)));
  });
  server.on("upgrade", (request, socket) => {
    requests.push({ method: request.method, url: request.url, headers: request.headers, upgrade: true });
    acceptWebSocket(request, socket, (message, send) => send(`origin: ${message}`));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  here.cleanup(() => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }));
  return { url: `http://127.0.0.1:${server.address().port}`, requests };
}

/** One request in octets of one's own; what came back, as text. */
function raw(lines) {
  const { port } = new URL(worker.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), "127.0.0.1");
    let text = "";
    socket.setTimeout(15_000, () => socket.destroy(new Error(`no answer to ${lines[0]}`)));
    socket.on("data", (chunk) => { text += chunk.toString("latin1"); });
    socket.on("close", () => resolve(text));
    socket.on("error", reject);
    socket.write(Buffer.from(`${[...lines, `Host: localhost:${port}`, "Connection: close"].join("\r\n")}\r\n\r\n`, "latin1"));
  });
}

const status = (answer) => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
const get = (path, token, headers = {}, more = {}) => worker.ask(token, { path, headers, ...more });

test("a table of hostile paths: none reaches the origin as public, on the wire as it stands", async () => {
  seen();
  assert.ok(table.hostile.length >= 60);
  for (const { target, why } of table.hostile) {
    const answer = await raw([`GET ${target} HTTP/1.1`]);
    assert.ok([400, 401].includes(status(answer)), `${target} (${why}): ${answer.slice(0, 120)}`);
    assert.deepEqual(seen(), [], `${target} (${why}) reached the origin`);
  }
  for (const target of ["/public/x", "/public/", "/open/x?y=..%2f", "/public/a/../b"]) {
    assert.equal(status(await raw([`GET ${target} HTTP/1.1`])), 200, target);
    assert.match(seen()[0].url, /^\/(public|open)\//);
  }
});

test("a good token without the scope passes in no spelling of a path that asks for it", async () => {
  seen();
  const token = other({ scope: "orders:read" });
  for (const { target, why } of table.asking) {
    const answer = await raw([`GET ${target} HTTP/1.1`, `Authorization: Bearer ${token}`]);
    assert.ok([400, 403].includes(status(answer)), `${target} (${why}): ${answer.slice(0, 120)}`);
    assert.deepEqual(seen(), [], `${target} (${why}) reached the origin`);
  }
  for (const target of ["/open/caf%C3%A9", "/kafe%CC%81/x"]) assert.equal(status(await raw([`GET ${target} HTTP/1.1`, `Authorization: Bearer ${token}`])), 200, target);
});

test("identity headers that a client sends arrive in no spelling, on public, optional and required routes", async () => {
  seen();
  const token = await tokenOf(signer);
  for (const path of ["/public/x", "/optional/x", "/required", "/keeps"]) {
    for (const name of table.headers) {
      const answer = await raw([`GET ${path} HTTP/1.1`, `${name}: forged`, "X-Kept: yes", ...(path.startsWith("/p") ? [] : [`Authorization: Bearer ${token}`])]);
      assert.equal(status(answer), 200, `${path} ${name}: ${answer.slice(0, 200)}`);
      const [{ rawHeaders, headers }] = seen();
      assert.ok(!rawHeaders.includes("forged"), `${name} reached ${path}: ${rawHeaders}`);
      assert.equal(headers["x-kept"], "yes");
    }
  }
});

test("claims arrive in headers of their own, encoded so that nothing is read for what it is not", async () => {
  seen();
  const claims = { sub: "bob, admin", name: "J\u00fcrgen\r\nX-Evil: 1", realm_access: { roles: ["a", "b,c", 1] } };
  assert.equal((await get("/required", other(claims))).status, 200);
  const [{ headers }] = seen();
  assert.equal(headers["x-user"], "bob%2C admin");
  assert.equal(headers["x-roles"], "a,b%2Cc,1");
  assert.equal(headers["x-name"], "J%C3%BCrgen%0D%0AX-Evil: 1");
  assert.equal(JSON.parse(Buffer.from(headers["edgeseal-claims"], "base64url")).sub, claims.sub);
  await get("/required", other());
  assert.ok(!("x-roles" in seen()[0].headers), "a claim that is not there has no header");
});

test("access: required, optional, public, by path and method", async () => {
  assertProblem(await get("/anything"), 401, "token_missing");
  assert.equal((await get("/optional/x")).status, 200);
  assert.ok(!("edgeseal-claims" in seen().at(-1).headers));
  assertProblem(await get("/optional/x", flipSignatureBit(other())), 401, "signature_invalid");
  assert.equal((await get("/optional/x", other())).status, 200);
  assert.equal(seen().at(-1).headers["x-user"], "bob");
  assert.equal((await get("/public/x", "nonsense")).status, 200, "a public route looks at no token");
  assert.ok(!("authorization" in seen().at(-1).headers), "and hands none on");
  assert.equal((await get("/methods/x")).status, 200);
  assert.equal((await get("/methods/x", null, {}, { method: "HEAD" })).status, 200);
  assertProblem(await get("/methods/x", null, {}, { method: "DELETE" }), 401, "token_missing");
});

test("scopes, roles and claims: 403 with the scopes that would do", async () => {
  const cases = [
    ["/scoped", {}, "insufficient_scope"], ["/scoped", { scope: "orders:read" }, "insufficient_scope"], ["/scoped", { scope: "orders:reads orders:write" }, "insufficient_scope"],
    ["/scoped", { scope: "x orders:write orders:read" }, null],
    ["/any", { scope: "c" }, "insufficient_scope"], ["/any", { scope: ["b"] }, null],
    ["/roles", { roles: ["viewer"] }, "access_denied"], ["/roles", { roles: { owner: true } }, "access_denied"], ["/roles", { roles: "owner" }, null], ["/roles", { roles: ["x", "editor"] }, null],
    ["/claims", { tenant: "t1", realm_access: { roles: ["x"] }, verified: true }, null], ["/claims", { tenant: "t3", realm_access: { roles: ["x"] }, verified: true }, "access_denied"],
    ["/claims", { tenant: "t1", realm_access: { roles: ["x"] }, verified: "true" }, "access_denied"], ["/claims", { tenant: "t1", verified: true }, "access_denied"],
    ["/open/admin/x", { scope: "user" }, "insufficient_scope"], ["/open/ADMIN/x", { scope: "user" }, "insufficient_scope"], ["/open/admin/x", { scope: "admin" }, null],
  ];
  for (const [path, claims, code] of cases) {
    const answer = await get(path, other(claims));
    if (code === null) {
      assert.equal(answer.status, 200, `${path} ${JSON.stringify(claims)}: ${answer.text}`);
      continue;
    }
    assertProblem(answer, 403, code);
    assert.match(answer.headers["www-authenticate"], /^Bearer error="insufficient_scope"/);
    if (path === "/scoped") assert.match(answer.headers["www-authenticate"], /, scope="orders:read orders:write"$/);
  }
  assertProblem(await get("/signer", other()), 401, "issuer_mismatch");
  assert.equal((await get("/signer", await tokenOf(signer))).status, 200);
});

test("the token stays here unless the route forwards it", async () => {
  seen();
  const token = other();
  await get("/required", token);
  assert.ok(!("authorization" in seen()[0].headers));
  await get("/keeps", token);
  assert.equal(seen()[0].headers.authorization, `Bearer ${token}`);
  await get("/required", null, { cookie: `a=1; session=${token}; b=2` });
  assert.equal(seen()[0].headers.cookie, "a=1; b=2");
});

test("cookies: duplicates are refused, and what changes something needs an allowed Origin", async () => {
  seen();
  const cookie = `session=${other()}`;
  assert.equal((await get("/required", null, { cookie })).status, 200);
  assertProblem(await get("/required", null, { cookie: `${cookie}; ${cookie}` }), 400, "token_ambiguous");
  assertProblem(await call(`${worker.url}/required`, { headers: ["cookie", cookie, "cookie", cookie] }), 400, "token_ambiguous");
  for (const origin of [undefined, "https://evil.example", "null", `${APP}.evil.example`]) {
    const headers = { cookie, ...(origin && { origin }) };
    assertProblem(await get("/required", null, headers, { method: "POST" }), 403, "origin_not_allowed");
  }
  const answer = await get("/required", null, { cookie, origin: APP }, { method: "POST" });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(seen().length, 2);
});

test("only a CORS preflight passes without a token, without credentials; refusals carry the route's CORS headers", async () => {
  seen();
  const preflight = { origin: APP, "access-control-request-method": "PUT", authorization: "Bearer x", cookie: "session=y", "edgeseal-claims": "forged", "x-user": "root", "x-http-method-override": "DELETE" };
  assert.equal((await get("/required", null, preflight, { method: "OPTIONS" })).status, 200);
  const [{ headers, method }] = seen();
  assert.equal(method, "OPTIONS");
  for (const name of ["authorization", "cookie", "edgeseal-claims", "x-user", "x-http-method-override"]) assert.ok(!(name in headers), name);
  for (const headers of [{}, { origin: APP }, { "access-control-request-method": "PUT" }]) {
    assertProblem(await get("/required", null, headers, { method: "OPTIONS" }), 401, "token_missing");
  }
  assertProblem(await get("/a%2fb", null, preflight, { method: "OPTIONS" }), 400, "path_invalid");

  const refused = await get("/required", null, { origin: APP });
  assert.equal(refused.headers["access-control-allow-origin"], APP);
  assert.match(refused.headers["access-control-expose-headers"], /www-authenticate/);
  assert.equal(refused.headers.vary, "Origin");
  const own = await get("/cors", null, { origin: "https://b.example" });
  assert.equal(own.headers["access-control-allow-origin"], "https://b.example");
  assert.equal(own.headers["access-control-allow-credentials"], "true");
  assert.ok(!("access-control-allow-origin" in (await get("/cors", null, { origin: APP })).headers));
  assert.equal(seen().length, 0);
});

test("rate limits: by subject and by address, 429 with Retry-After", async () => {
  const statuses = async (path, tokens) => {
    const answers = [];
    for (const token of tokens) answers.push(await get(path, token));
    return answers;
  };
  const bob = await statuses("/limited", [other(), other(), other(), other()]);
  assert.deepEqual(bob.map(({ status }) => status), [200, 200, 200, 429]);
  assertProblem(bob[3], 429, "rate_limited");
  assert.equal(bob[3].headers["retry-after"], "60");
  assert.equal((await get("/limited", other({ sub: "eve" }))).status, 200, "another subject");
  const anyone = await statuses("/limited-ip", [null, null, null]);
  assert.deepEqual(anyone.map(({ status }) => status), [200, 200, 429]);
  // Whoever has no token is counted by address there too: a preflight goes to the origin without one.
  const preflights = [];
  for (let index = 0; index < 4; index++) preflights.push((await get("/limited", null, { origin: APP, "access-control-request-method": "PUT" }, { method: "OPTIONS" })).status);
  assert.deepEqual(preflights, [200, 200, 200, 429]);
  assert.equal((await get("/limited", other({ sub: "eve" }))).status, 200, "a subject is not counted with them");
});

test("a presentation of an SD-JWT: only where the route takes it, and what was disclosed goes to the origin", async () => {
  seen();
  const disclosure = b64(["salt", "name", "Ada"]);
  const { createHash } = await import("node:crypto");
  const digest = createHash("sha256").update(disclosure).digest("base64url");
  const presentation = `${other({ _sd: [digest], _sd_alg: "sha-256" })}~${disclosure}~`;
  assertProblem(await get("/required", presentation), 401, "token_malformed");
  const answer = await get("/presented/x", presentation);
  assert.equal(answer.status, 200, answer.text);
  const [{ headers }] = seen();
  assert.equal(headers["x-name"], "Ada");
  const claims = JSON.parse(Buffer.from(headers["edgeseal-claims"], "base64url"));
  assert.equal(claims.name, "Ada");
  assert.ok(!("_sd" in claims));
  assertProblem(await get("/presented/x", presentation.replace(disclosure, b64(["salt", "name", "Eve"]))), 401, "disclosure_invalid");
});

test("WebSockets pass, with the token in the query where browsers can set no header; the token goes no further", async () => {
  seen();
  const token = other();
  const socket = await openWebSocket(`${worker.url.replace("http", "ws")}/socket?room=1&access_token=${token}`);
  assert.equal(await socket.ask("hello"), "origin: hello");
  assert.equal(await socket.ask("x".repeat(70_000)), `origin: ${"x".repeat(70_000)}`);
  socket.close();
  const [request] = seen();
  assert.equal(request.url, "/socket?room=1");
  assert.equal(request.headers["x-user"], "bob");
  for (const [headers, path, code] of [
    [{}, "/socket", 401],
    [{}, `/socket?access_token=${token}&access_token=${token}`, 400],
    [{ cookie: `session=${token}` }, "/socket", 403],
    [{ cookie: `session=${token}`, origin: "https://evil.example" }, "/socket", 403],
  ]) {
    await assert.rejects(openWebSocket(`${worker.url.replace("http", "ws")}${path}`, headers), new RegExp(`answered ${code}`));
  }
  assertProblem(await get(`/plain?access_token=${token}`), 401, "token_missing");
  await get(`/public/x?access_token=${token}&b=1`);
  assert.equal(seen().at(-1).url, "/public/x?b=1");
  assert.ok(!worker.output().includes(token.split(".")[1]), "no log has a token");
});

test("bodies stream in both directions, at once; a redirect is the client's to follow", async () => {
  const chunks = [];
  await new Promise((resolve, reject) => {
    // Without Accept-Encoding: wrangler's own proxy would compress, and hold small pieces back.
    const request = http(`${worker.url}/public/slow`, { family: 4, signal: AbortSignal.timeout(20_000) }, (response) => {
      response.on("data", (chunk) => { chunks.push(chunk.toString()); here.release(); });
      response.on("end", resolve);
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end();
  });
  assert.equal(chunks[0], "first\n", "before the origin has ended");
  assert.equal(chunks.join(""), "first\nlast\n");

  const sent = Array.from({ length: 32 }, () => randomBytes(16 * 1024));
  const echoed = [];
  await new Promise((resolve, reject) => {
    const request = http(`${worker.url}/public/duplex`, { method: "POST", family: 4, signal: AbortSignal.timeout(20_000) }, (response) => {
      // The origin answers before the body has ended: the rest goes out when the answer is there.
      sent.slice(1).forEach((chunk) => request.write(chunk));
      request.end();
      response.on("data", (chunk) => echoed.push(chunk));
      response.on("end", resolve);
      response.on("error", reject);
    });
    request.on("error", reject);
    request.write(sent[0]);
  });
  assert.equal(Buffer.concat(echoed).compare(Buffer.concat(sent)), 0, "half a megabyte, echoed while it is sent");

  const redirect = await call(`${worker.url}/public/redirect`);
  assert.equal(redirect.status, 302);
  assert.equal(redirect.headers.location, "/elsewhere");
});

test("the command line says of requests what the Worker does", async () => {
  const config = JSON.stringify(settings(origin.url, signer));
  const { code, out } = await cli(["edge", "check", "-"], { input: config });
  assert.equal(code, 0, out);
  assert.match(out, /route +\/public\/\* \/open\/\*: public/);
  for (const [target, told] of [["/public/x", /public: routes\[0\]/], ["/public/..%2fx", /400 path_invalid/], ["/x", /required: no route/]]) {
    assert.match((await cli(["edge", "explain", "-", "GET", target], { input: config })).out, told);
  }
});

test("nothing was logged that is a secret, and every refusal was", async () => {
  await until("the log names the refusals", () => worker.output().includes("path_invalid"));
  const log = worker.output();
  for (const code of ["token_missing", "insufficient_scope", "origin_not_allowed", "token_ambiguous", "rate_limited"]) assert.ok(log.includes(code), code);
  assert.doesNotMatch(log, /eyJ[\w-]{10,}\./);
});
