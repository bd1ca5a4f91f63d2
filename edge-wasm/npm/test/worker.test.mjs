// The Worker in workerd, as wrangler runs it: real requests, a real origin, a real JWKS server.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { connect } from "node:net";
import { after, before, test } from "node:test";

import { WebSocket, WebSocketServer } from "ws";

import { makeKey, seconds, serve } from "./support.mjs";
import { freePort, root, startWrangler } from "./wrangler.mjs";

let keys, origin, seen, key;
const audience = "https://api.example.com";

before(async () => {
  key = await makeKey("k1");
  keys = await serve({ "/jwks": (_, response) => response.end(JSON.stringify({ keys: [key.jwk] })) });
  seen = [];
  origin = await serve({});
  origin.paths["/echo?x=1"] = (request, response) => {
    const body = [];
    request.on("data", (chunk) => body.push(chunk));
    request.on("end", () => {
      seen.push({ method: request.method, headers: request.headers, raw: request.rawHeaders, body: Buffer.concat(body).toString() });
      response.writeHead(201, { "x-origin": "yes", "content-type": "text/plain" }).end("made");
    });
  };
  origin.paths["/moved"] = (_, response) => response.writeHead(302, { location: "https://elsewhere.example/" }).end();
});

after(async () => {
  await keys.close();
  await origin.close();
});

const issuer = () => ({ issuer: keys.origin, audience, algorithms: ["ES256"], jwks_uri: `${keys.origin}/jwks`, leeway: 0 });
const claims = (more = {}) => ({ iss: keys.origin, aud: audience, sub: "alice", exp: seconds() + 600, ...more });
const bearer = (token) => ({ headers: { authorization: `Bearer ${token}` } });

async function problem(response, status, code) {
  assert.equal(response.status, status);
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  const body = await response.json();
  assert.deepEqual(Object.keys(body).sort(), ["code", "status", "title", "type"]);
  assert.deepEqual([body.code, body.status, body.type], [code, status, `urn:edgeseal:problem:${code}`]);
}

test("a verified request reaches the origin with its claims, and with nothing that the client forged", async (t) => {
  const worker = await start(t, { origin: origin.origin, issuers: [issuer()] });
  const token = await key.token(claims({ name: "Zoë" }));
  const response = await fetch(`${worker}/echo?x=1`, {
    method: "POST",
    body: "hello",
    headers: { authorization: `Bearer ${token}`, "edgeseal-claims": "forged", "Edgeseal-Other": "forged", "x-kept": "1", te: "trailers" },
  });
  assert.deepEqual([response.status, response.headers.get("x-origin"), await response.text()], [201, "yes", "made"]);
  const request = seen.at(-1);
  assert.deepEqual([request.method, request.body, request.headers["x-kept"]], ["POST", "hello", "1"]);
  assert.equal(request.headers["edgeseal-other"], undefined);
  assert.equal(request.headers.te, undefined);
  assert.equal(request.raw.filter((name) => name.toLowerCase() === "edgeseal-claims").length, 1);
  const told = JSON.parse(Buffer.from(request.headers["edgeseal-claims"], "base64url").toString());
  assert.deepEqual([told.sub, told.name], ["alice", "Zoë"]);
  const moved = await fetch(`${worker}/moved`, { ...bearer(token), redirect: "manual" });
  assert.deepEqual([moved.status, moved.headers.get("location")], [302, "https://elsewhere.example/"]);
  assert.equal(keys.hits["/jwks"], 1);
});

test("bodies stream in both directions, and a WebSocket reaches the origin", async (t) => {
  // The origin answers at once, and ends its answer when `finish` is called.
  let arrived, finish;
  const streams = createHttpServer((request, response) => {
    request.once("data", (chunk) => arrived(chunk.length));
    response.writeHead(200, { "content-type": "application/octet-stream" }).write("first ");
    finish = () => response.end("second");
    request.resume();
  });
  const sockets = new WebSocketServer({ server: streams });
  sockets.on("connection", (socket, request) => socket.on("message", (data) => socket.send(`${request.headers["edgeseal-claims"]} ${data}`)));
  streams.listen(0, "127.0.0.1");
  await once(streams, "listening");
  t.after(() => {
    sockets.close();
    streams.closeAllConnections();
    streams.close();
  });
  const worker = await start(t, { origin: `http://127.0.0.1:${streams.address().port}`, issuers: [issuer()] });
  const token = await key.token(claims());

  const response = await fetch(worker, bearer(token));
  const reader = response.body.getReader();
  assert.equal(Buffer.from((await reader.read()).value).toString(), "first ");
  finish();
  assert.equal(Buffer.from((await reader.read()).value).toString(), "second");

  const reached = new Promise((resolve) => (arrived = resolve));
  let send;
  const body = new ReadableStream({ start: (controller) => (send = controller) });
  send.enqueue(new Uint8Array(100_000));
  const posted = fetch(worker, { method: "POST", body, duplex: "half", ...bearer(token) });
  assert.ok((await reached) > 0);
  send.close();
  finish();
  assert.equal(await (await posted).text(), "first second");

  const client = new WebSocket(worker.replace("http", "ws"), { headers: { authorization: `Bearer ${token}`, "edgeseal-claims": "forged" } });
  await once(client, "open");
  client.send("hello");
  const [message] = await once(client, "message");
  const [told, said] = message.toString().split(" ");
  assert.deepEqual([JSON.parse(Buffer.from(told, "base64url")).sub, said], ["alice", "hello"]);
  client.terminate();
  const stranger = new WebSocket(worker.replace("http", "ws"));
  const [, refusal] = await once(stranger, "unexpected-response");
  assert.equal(refusal.statusCode, 401);
  refusal.destroy();
});

test("an origin that does not answer is a 502", async (t) => {
  const worker = await start(t, { origin: `http://127.0.0.1:${await freePort()}`, issuers: [issuer()] });
  await problem(await fetch(worker, bearer(await key.token(claims()))), 502, "origin_unavailable");
});

test("refusals follow RFC 6750, and tell the code only", async (t) => {
  const worker = await start(t, { echo: true, issuers: [issuer()] });
  const ok = await fetch(`${worker}/any`, bearer(await key.token(claims())));
  assert.equal(ok.status, 200);
  assert.equal((await ok.json()).claims.sub, "alice");

  const missing = await fetch(worker);
  assert.equal(missing.headers.get("www-authenticate"), 'Bearer realm="edgeseal"');
  await problem(missing, 401, "token_missing");
  await problem(await fetch(worker, { headers: { authorization: "Basic dTpw" } }), 401, "token_missing");

  const expired = await fetch(worker, bearer(await key.token(claims({ exp: 1_000 }))));
  assert.equal(expired.headers.get("www-authenticate"), 'Bearer error="invalid_token", error_description="token_expired"');
  await problem(expired, 401, "token_expired");
  await problem(await fetch(worker, bearer(await key.token(claims({ aud: "other" })))), 401, "audience_mismatch");
  await problem(await fetch(worker, bearer(await key.token(claims(), { alg: "none" }))), 401, "algorithm_not_allowed");
  await problem(await fetch(worker, bearer("x".repeat(15_000))), 401, "token_malformed");

  const token = await key.token(claims());
  assert.match(await twoAuthorizations(worker, token), /^HTTP\/1\.1 400 [\s\S]*"code":"authorization_malformed"/);

  assert.equal((await fetch(`${worker}/.edgeseal/health`)).status, 200);
  await problem(await fetch(`${worker}/.edgeseal/other`, bearer(token)), 404, "not_found");
});

test("an RSA key that workerd does not import is no outage", async (t) => {
  for (const alg of ["RS256", "PS384"]) {
    const odd = await makeKey("odd", alg, [1, 0, 3]);
    const worker = await start(t, { echo: true, issuers: [{ ...issuer(), jwks_uri: undefined, jwks: { keys: [odd.jwk] }, algorithms: [alg] }] });
    const token = await odd.token(claims());
    assert.equal((await fetch(worker, bearer(token))).status, 200);
    await problem(await fetch(worker, bearer(`${token.slice(0, -4)}AAAA`)), 401, "signature_invalid");
  }
});

test("an outage is a 503 with Retry-After, and costs a handful of fetches", async (t) => {
  const down = await serve({ "/jwks": (_, response) => response.writeHead(500).end() });
  t.after(() => down.close());
  const worker = await start(t, { echo: true, issuers: [{ ...issuer(), jwks_uri: `${down.origin}/jwks` }] });
  const token = await key.token(claims());
  const answers = await Promise.all(Array.from({ length: 100 }, () => fetch(worker, bearer(token))));
  for (const answer of answers) assert.equal(answer.status, 503);
  assert.match(answers[0].headers.get("retry-after"), /^[1-9]\d*$/);
  assert.equal(answers[0].headers.get("www-authenticate"), null);
  await problem(answers[0], 503, "jwks_unavailable");
  assert.ok(down.hits["/jwks"] <= 3, `${down.hits["/jwks"]} fetches`);
});

test("discovery, rotation and a dead issuer within the stale window", async (t) => {
  const next = await makeKey("k2");
  const published = [key.jwk];
  const server = await serve({ "/jwks": (_, response) => response.end(JSON.stringify({ keys: published })) });
  t.after(() => server.close());
  server.paths["/.well-known/openid-configuration"] = { issuer: server.origin, jwks_uri: `${server.origin}/jwks` };
  const cache = { fresh_default: 2, fresh_min: 2, fresh_max: 2, stale_if_error: 2, backoff_max: 1 };
  const worker = await start(t, { echo: true, cache, issuers: [{ ...issuer(), issuer: server.origin, jwks_uri: undefined }] });
  const mine = (more) => claims({ iss: server.origin, ...more });

  assert.equal((await fetch(worker, bearer(await key.token(mine())))).status, 200);
  assert.deepEqual(server.hits, { "/.well-known/openid-configuration": 1, "/jwks": 1 });
  published.push(next.jwk);
  assert.equal((await fetch(worker, bearer(await next.token(mine())))).status, 200);
  assert.deepEqual(server.hits, { "/.well-known/openid-configuration": 2, "/jwks": 2 });

  await server.close();
  const token = await next.token(mine());
  const codes = new Set();
  for (const end = Date.now() + 15_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 200))) {
    const { status } = await fetch(worker, bearer(token));
    codes.add(status);
    if (status === 503) break;
  }
  assert.deepEqual([...codes], [200, 503]);
});

test("a configuration that cannot be meant is a 500 that names nothing, and a log line that names the setting", async (t) => {
  const worker = await start(t, { echo: true, issuers: [{ ...issuer(), leeway: 900 }] });
  await problem(await fetch(worker), 500, "configuration_invalid");
  await problem(await fetch(`${worker}/.edgeseal/health`), 500, "configuration_invalid");
  await t.waitFor(() => assert.match(t.log(), /issuers\[0\]\.leeway/));
});

test("an issuer that answers with a redirect, or too much, or not at all, is refused", async (t) => {
  const odd = await serve({});
  t.after(() => odd.close());
  const good = JSON.stringify({ keys: [key.jwk] });
  odd.paths["/redirect"] = (_, response) => response.writeHead(302, { location: "/good" }).end();
  odd.paths["/good"] = (_, response) => response.end(good);
  odd.paths["/large"] = (_, response) => response.end(good.padEnd(64 * 1024 + 1));
  odd.paths["/slow"] = () => {};
  for (const path of ["/redirect", "/large", "/slow"]) {
    const worker = await start(t, { echo: true, issuers: [{ ...issuer(), jwks_uri: odd.origin + path }] });
    await problem(await fetch(worker, bearer(await key.token(claims()))), 503, "jwks_unavailable");
  }
  assert.equal(odd.hits["/good"], undefined);
});

/** The Worker with these settings; returns its URL. */
function start(t, settings) {
  return startWrangler(t, root, ["--var", `EDGESEAL:${JSON.stringify(settings)}`]);
}

/** No HTTP client sends two Authorization fields: this writes the request itself. */
async function twoAuthorizations(url, token) {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(`GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ${token}\r\nauthorization: Bearer ${token}\r\n\r\n`);
  let answer = "";
  for await (const chunk of socket) answer += chunk;
  return answer;
}
