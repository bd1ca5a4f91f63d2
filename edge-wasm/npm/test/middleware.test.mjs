// Hono and Express as their users have them: the real frameworks, requests over their own interfaces.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "node:net";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { ConfigurationError, createVerifier } from "edgeseal";
import { edgeseal as expressSeal } from "edgeseal/express";
import { edgeseal as honoSeal } from "edgeseal/hono";
import express from "express";
import { Hono } from "hono";
import { cors } from "hono/cors";

import { installPacked } from "./packed.mjs";
import { makeKey, seconds } from "./support.mjs";
import { startWorkerd } from "./workerd.mjs";

const issuer = "https://login.example.com";
const audience = "https://api.example.com";
const key = await makeKey("k1");
const options = { issuer, audience, algorithms: ["ES256"], jwks: { keys: [key.jwk] } };
const token = (more = {}) => key.token({ iss: issuer, aud: audience, sub: "alice", exp: seconds() + 600, ...more });
const bearer = (token) => ({ headers: { authorization: `Bearer ${token}` } });
const down = { ...options, jwks: undefined, jwksUri: "https://login.example.com/jwks", fetch: () => Promise.reject(new Error("offline")) };

// The same application in each framework: `ask(path, init)` answers with a Response.
const frameworks = {
  Hono: async (_, seal) => {
    const app = new Hono();
    app.use("/api/*", seal);
    app.get("/api/me", (c) => c.json({ claims: c.get("claims") ?? null, alg: c.get("verified")?.header.alg ?? null }));
    app.get("/open", (c) => c.text("open"));
    app.onError((error, c) => c.json({ caught: error.message }, 500));
    return (path, init) => app.request(`http://localhost${path}`, init);
  },
  Express: async (t, seal) => {
    const app = express();
    app.use("/api", seal);
    app.get("/api/me", (req, res) => void res.json({ claims: req.auth?.claims ?? null, alg: req.auth?.header.alg ?? null }));
    app.get("/open", (_, res) => void res.send("open"));
    app.use((error, _req, res, _next) => void res.status(500).json({ caught: error.message }));
    return listen(t, app);
  },
};
const seals = { Hono: honoSeal, Express: expressSeal };

for (const [name, start] of Object.entries(frameworks)) {
  const seal = seals[name];

  test(`${name}: a good token reaches the route with its claims, no other does`, async (t) => {
    const ask = await start(t, seal(options));
    const me = await ask("/api/me", bearer(await token()));
    assert.equal(me.status, 200);
    const { claims, alg } = await me.json();
    assert.deepEqual([claims.sub, alg], ["alice", "ES256"]);
    assert.equal(await (await ask("/open")).text(), "open");

    const missing = await ask("/api/me");
    assert.deepEqual([missing.status, missing.headers.get("www-authenticate")], [401, 'Bearer realm="edgeseal"']);
    const refused = await ask("/api/me", bearer(await token({ aud: "secret-service" })));
    assert.equal(refused.status, 401);
    assert.equal(refused.headers.get("www-authenticate"), 'Bearer error="invalid_token", error_description="audience_mismatch"');
    assert.equal(refused.headers.get("content-type"), "application/problem+json");
    assert.equal(refused.headers.get("cache-control"), "no-store");
    const text = await refused.text();
    assert.equal(JSON.parse(text).code, "audience_mismatch");
    assert.doesNotMatch(text + refused.headers.get("www-authenticate"), /secret-service|api\.example/);
    // Paths that no route has are behind the middleware as well.
    assert.equal((await ask("/api/nothing")).status, 401);
    assert.equal((await ask("/api/nothing", bearer(await token()))).status, 404);
  });

  test(`${name}: takes a verifier, and tells the log why`, async (t) => {
    const verifier = createVerifier(options);
    const told = [];
    const ask = await start(t, seal({ verifier, onRefusal: (error, sender) => told.push([error.code, error.message, typeof sender]) }));
    assert.equal((await ask("/api/me", bearer(await token()))).status, 200);
    assert.equal((await ask("/api/me", bearer(await token({ exp: 1_000 })))).status, 401);
    assert.deepEqual([told.length, told[0][0], told[0][2]], [1, "token_expired", "object"]);
    assert.match(told[0][1], /1000/);
    const bare = await start(t, seal(verifier));
    assert.equal((await bare("/api/me", bearer(await token()))).status, 200);
    assert.equal((await bare("/api/me")).status, 401);
  });

  test(`${name}: required: false lets nobody's request through, and no bad token`, async (t) => {
    const ask = await start(t, seal({ ...options, required: false }));
    assert.deepEqual(await (await ask("/api/me")).json(), { claims: null, alg: null });
    assert.deepEqual(await (await ask("/api/me", { headers: { authorization: "Basic dTpw" } })).json(), { claims: null, alg: null });
    assert.equal((await (await ask("/api/me", bearer(await token()))).json()).claims.sub, "alice");
    assert.equal((await ask("/api/me", bearer(await token({ exp: 1_000 })))).status, 401);
    assert.equal((await ask("/api/me", bearer("a b"))).status, 400);
    const unreachable = await start(t, seal({ ...down, required: false }));
    assert.equal((await unreachable("/api/me", bearer(await token()))).status, 503);
  });

  test(`${name}: an outage is a 503, a mistake of ours the application's own error`, async (t) => {
    const ask = await start(t, seal(down));
    const answer = await ask("/api/me", bearer(await token()));
    assert.deepEqual([answer.status, answer.headers.get("www-authenticate")], [503, null]);
    assert.match(answer.headers.get("retry-after"), /^[1-9]\d*$/);
    for (const [broken, why] of [
      [seal({ ...options, clock: () => NaN }), /clock/],
      [seal({ verifier: { verify: () => Promise.reject(new TypeError("broken")), stats: () => ({}) } }), /^broken$/],
      [seal({ ...options, onRefusal: () => Promise.reject(new TypeError("the log is full")) }), /^the log is full$/],
    ]) {
      const ask = await start(t, broken);
      const answer = await ask("/api/me", bearer(await token({ exp: 1_000 })));
      assert.equal(answer.status, 500);
      assert.match((await answer.json()).caught, why);
    }
  });

  test(`${name}: a mistake in the options is said when the application starts`, () => {
    const misconfigured = (make, option) =>
      assert.throws(make, (error) => error instanceof ConfigurationError && error.option === option && error.message.includes(option));
    misconfigured(() => seal({ ...options, leewy: 1 }), "leewy");
    misconfigured(() => seal({ ...options, required: "no" }), "required");
    misconfigured(() => seal({ ...options, onRefusal: true }), "onRefusal");
    misconfigured(() => seal({ verifier: {} }), "verifier");
    misconfigured(() => seal({ verifier: undefined }), "verifier");
    misconfigured(() => seal({ verifier: createVerifier(options), issuer }), "issuer");
    misconfigured(() => seal({}), "algorithms");
    misconfigured(() => seal(undefined), "algorithms");
  });
}

test("Hono: headers that middleware before it set are kept", async () => {
  const app = new Hono();
  app.use("*", cors({ origin: "https://app.example.com" }));
  app.use("*", honoSeal(options));
  app.get("/", (c) => c.text("hello"));
  const origin = { origin: "https://app.example.com" };
  const refused = await app.request("http://localhost/", { headers: origin });
  assert.deepEqual([refused.status, refused.headers.get("access-control-allow-origin")], [401, origin.origin]);
  const preflight = await app.request("http://localhost/", { method: "OPTIONS", headers: { ...origin, "access-control-request-method": "GET" } });
  assert.equal(preflight.status, 204);
});

test("Hono in workerd, with the packed package", async (t) => {
  const packed = installPacked({ beside: ["hono"] });
  t.after(packed.remove);
  writeFileSync(
    join(packed.project, "app.js"),
    `import { edgeseal } from "edgeseal/hono";
     import { Hono } from "hono";
     const app = new Hono();
     app.use("/api/*", edgeseal(${JSON.stringify(options)}));
     app.get("/api/me", (c) => c.json(c.get("claims")));
     export default app;`,
  );
  const worker = await startWorkerd(t, packed.project, "app.js");
  const me = await fetch(`${worker}/api/me`, bearer(await token()));
  assert.deepEqual([me.status, (await me.json()).sub], [200, "alice"]);
  const refused = await fetch(`${worker}/api/me`, bearer(await token({ exp: 1_000 })));
  assert.deepEqual([refused.status, (await refused.json()).code], [401, "token_expired"]);
  assert.equal((await fetch(`${worker}/api/me`)).headers.get("www-authenticate"), 'Bearer realm="edgeseal"');
});

test("Express: two Authorization fields are refused, not halved", async (t) => {
  const app = express();
  app.use(expressSeal(options));
  app.get("/", (req, res) => void res.json(req.auth));
  const ask = await listen(t, app);
  const good = await token();
  const socket = connect(ask.port, "127.0.0.1");
  socket.write(`GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ${good}\r\nauthorization: Bearer other\r\n\r\n`);
  let answer = "";
  for await (const chunk of socket) answer += chunk;
  assert.match(answer, /^HTTP\/1\.1 400 [\s\S]*"code":"authorization_malformed"/);
});

test("Express: of(req) gives the typed token, and fails where the middleware did not run", async (t) => {
  const auth = expressSeal(options);
  const app = express();
  app.get("/sealed", auth, (req, res) => void res.json(auth.of(req).claims));
  app.get("/forgotten", (req, res) => void res.json(auth.of(req).claims));
  app.use((error, _req, res, _next) => void res.status(500).json({ caught: error.message }));
  const ask = await listen(t, app);
  assert.equal((await (await ask("/sealed", bearer(await token()))).json()).sub, "alice");
  const forgotten = await ask("/forgotten", bearer(await token()));
  assert.equal(forgotten.status, 500);
  assert.match((await forgotten.json()).caught, /put it before the route/);
});

test("Express' middleware needs no Express", async (t) => {
  const auth = expressSeal({ ...options, required: false });
  const ask = await listen(t, (req, res) => auth(req, res, () => res.end(auth.of(req)?.claims.sub ?? "nobody")));
  assert.equal(await (await ask("/", bearer(await token()))).text(), "alice");
  assert.equal(await (await ask("/")).text(), "nobody");
  assert.equal((await ask("/", bearer("x"))).status, 401);
  // Express 4 does not look at what a middleware returns: an error must come by `next`.
  const broken = expressSeal({ ...options, clock: () => NaN });
  const told = await listen(t, (req, res) => broken(req, res, (error) => res.end(error?.name ?? "none")));
  assert.equal(await (await told("/", bearer(await token()))).text(), "ConfigurationError");
});

async function listen(t, handler) {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address();
  return Object.assign((path, init) => fetch(`http://127.0.0.1:${port}${path}`, init), { port });
}
