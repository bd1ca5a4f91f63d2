// Where keys come from and how often they are asked for: a real HTTP server on a loopback port, a clock that the test turns.
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { VerifyError, createVerifier } from "edgeseal";

import { makeKey, serve } from "./support.mjs";

const audience = "https://api.example.com";
const START = 1_750_000_000;
const [one, two, three] = await Promise.all(["k1", "k2", "k3"].map((kid) => makeKey(kid)));

/** A server whose `/jwks` answers as `state` says, a verifier of its keys, and a clock. */
async function setUp(t, more = {}) {
  const state = { keys: [one.jwk], headers: {}, status: 200, requests: [] };
  const server = await serve({
    "/jwks": (request, response) => {
      state.requests.push(request.headers);
      response.writeHead(state.status, state.headers).end(state.status === 200 ? JSON.stringify({ keys: state.keys }) : undefined);
    },
  });
  t.after(() => server.close());
  const time = { now: START };
  const issuer = server.origin;
  const options = { issuer, audience, algorithms: ["ES256"], jwksUri: `${issuer}/jwks`, clock: () => time.now, ...more };
  const token = (key = one, claims = {}, header = {}) => key.token({ iss: issuer, aud: audience, exp: START + 1_000_000, ...claims }, header);
  return { state, server, time, options, token, verifier: createVerifier(options), fetches: () => server.hits["/jwks"] ?? 0 };
}

async function until(look, holds) {
  while (!holds(look())) await new Promise((resolve) => setTimeout(resolve, 5));
}

const unavailable = (promise, retryAfter) =>
  assert.rejects(promise, (error) => {
    assert.ok(error instanceof VerifyError);
    assert.equal(error.code, "jwks_unavailable", error.message);
    assert.ok(error.retryAfter >= 1);
    if (retryAfter !== undefined) assert.ok(error.retryAfter <= retryAfter, `${error.retryAfter}`);
    const response = error.toResponse();
    assert.deepEqual([response.status, response.headers.get("www-authenticate")], [503, null]);
    assert.equal(response.headers.get("retry-after"), String(error.retryAfter));
    return true;
  });

test("50 concurrent first tokens cost one fetch, and no more until the keys are stale", async (t) => {
  const { verifier, token, time, fetches } = await setUp(t);
  const compact = await token();
  await Promise.all(Array.from({ length: 50 }, () => verifier.verify(compact)));
  assert.equal(fetches(), 1);
  time.now += 400;
  await verifier.verify(compact);
  assert.equal(fetches(), 1);
  const [stats] = verifier.stats().issuers;
  assert.deepEqual([stats.keys, stats.fetchedAt, stats.fetches, stats.failures], [1, START, 1, 0]);
});

test("a fetch carries no credentials and follows no redirect", async (t) => {
  const { verifier, token, state, server } = await setUp(t);
  server.paths["/elsewhere"] = { keys: [one.jwk] };
  Object.assign(state, { status: 302, headers: { location: "/elsewhere" } });
  await unavailable(verifier.verify(await token()), 2);
  assert.equal(server.hits["/elsewhere"], undefined);
  const [{ authorization, cookie, accept }] = state.requests;
  assert.deepEqual([authorization, cookie, accept], [undefined, undefined, "application/jwk-set+json, application/json"]);
});

test("anything but a JWK Set under status 200 counts as an outage", async (t) => {
  for (const [name, answer] of Object.entries({
    "HTML with 200": (response) => response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html>"),
    "not found": (response) => response.writeHead(404).end(JSON.stringify({ keys: [one.jwk] })),
    "no content": (response) => response.writeHead(204).end(),
    "unasked 304": (response) => response.writeHead(304).end(),
    "byte order mark": (response) => response.end(`\ufeff${JSON.stringify({ keys: [one.jwk] })}`),
    "not UTF-8": (response) => response.end(Buffer.concat([Buffer.from(JSON.stringify({ keys: [one.jwk] }).slice(0, -1)), Buffer.from([0x2c, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])])),
    "duplicate member": (response) => response.end(`{"keys":[],"keys":[${JSON.stringify(one.jwk)}]}`),
    "cut off": (response) => {
      response.writeHead(200, { "content-length": "9999" });
      response.write('{"keys":[');
      setTimeout(() => response.destroy(), 20);
    },
    "hung up": (response) => response.destroy(),
    "too long": (response) => response.end(JSON.stringify({ keys: [one.jwk] }).padEnd(64 * 1024 + 1)),
    "compressed bomb": (response) =>
      response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(JSON.stringify({ keys: [one.jwk] }).padEnd(50_000_000))),
  })) {
    await t.test(name, async (t) => {
      const { verifier, token, server } = await setUp(t);
      server.paths["/jwks"] = (_, response) => answer(response);
      await unavailable(verifier.verify(await token()), 2);
      assert.equal(verifier.stats().issuers[0].failures, 1);
    });
  }
});

test("an endless body is cut while it streams", async (t) => {
  const { verifier, token, server } = await setUp(t);
  let sent = 0;
  server.paths["/jwks"] = (_, response) => {
    const pump = () => {
      while (!response.destroyed && response.write(" ".repeat(16_384))) sent += 16_384;
      response.once("drain", pump);
    };
    pump();
  };
  await unavailable(verifier.verify(await token()));
  assert.ok(sent < 50_000_000, `${sent} bytes`);
});

test("a server that says nothing costs 3 seconds, once for all who wait", { timeout: 9_000 }, async (t) => {
  const { options, token, server } = await setUp(t);
  let aborted = 0;
  server.paths["/jwks"] = (request) => request.once("close", () => aborted++);
  const compact = await token();
  const begun = performance.now();
  const verifier = createVerifier(options);
  await Promise.all([unavailable(verifier.verify(compact)), unavailable(verifier.verify(compact))]);
  // A body that never ends, and an injected fetch that does not listen to its signal.
  server.paths["/drip"] = (_, response) => response.write("{");
  const drip = createVerifier({ ...options, jwksUri: `${server.origin}/drip` });
  const deaf = createVerifier({ ...options, fetch: () => new Promise(() => {}) });
  await Promise.all([unavailable(drip.verify(compact)), unavailable(deaf.verify(compact))]);
  const took = performance.now() - begun;
  assert.ok(took > 5_900 && took < 8_000, `${took} ms`);
  assert.equal(server.hits["/jwks"], 1);
  assert.equal(aborted, 1);
});

test("ETag and 304: the set stays, the time begins anew", async (t) => {
  const { verifier, token, state, time, server, fetches } = await setUp(t);
  server.paths["/jwks"] = (request, response) => {
    state.requests.push(request.headers);
    if (request.headers["if-none-match"] === '"v1"') return response.writeHead(304).end();
    response.writeHead(200, { etag: '"v1"', "cache-control": "public, max-age=600" }).end(JSON.stringify({ keys: state.keys }));
  };
  const compact = await token();
  await verifier.verify(compact);
  time.now += 601;
  await verifier.verify(compact);
  assert.equal(fetches(), 2);
  assert.deepEqual(state.requests.map((headers) => headers["if-none-match"]), [undefined, '"v1"']);
  assert.equal(verifier.stats().issuers[0].fetchedAt, START + 601);
  time.now += 300;
  await verifier.verify(compact);
  assert.equal(fetches(), 2);
});

test("Cache-Control decides within five minutes and an hour", async (t) => {
  for (const [field, until, after, age] of [
    ["max-age=1000", 690, 1_001],
    ["max-age=3600", 690, 1_001, "2600"],
    ["max-age=3600", 2_500, 3_601, "nothing"],
    ["max-age=3600", 2_500, 3_601, "-2600"],
    ["max-age=3600", 200, 301, "9999"],
    ["max-age=1", 200, 301],
    ["no-store", 200, 301],
    ["max-age=999999", 2_500, 3_601],
    ["", 410, 601],
  ]) {
    const { verifier, token, state, time, fetches } = await setUp(t);
    state.headers = field === "" ? {} : { "cache-control": field };
    if (age !== undefined) state.headers.age = age;
    const compact = await token();
    await verifier.verify(compact);
    time.now = START + until;
    await verifier.verify(compact);
    assert.equal(fetches(), 1, field);
    time.now = START + after;
    await verifier.verify(compact);
    assert.equal(fetches(), 2, field);
  }
});

test("keys are refreshed ahead of their end, off the request path, once", async (t) => {
  const { verifier, token, time, state, server, fetches } = await setUp(t);
  const compact = await token();
  await verifier.verify(compact);
  let release;
  const held = new Promise((resolve) => (release = resolve));
  server.paths["/jwks"] = async (_, response) => {
    await held;
    response.end(JSON.stringify({ keys: state.keys }));
  };
  time.now += 590;
  await Promise.all(Array.from({ length: 20 }, () => verifier.verify(compact)));
  release();
  await until(() => verifier.stats().issuers[0], ({ fetchedAt }) => fetchedAt > START);
  assert.equal(fetches(), 2);
});

test("an unknown kid costs one fetch, a flood of them no more", async (t) => {
  const { verifier, token, state, time, fetches } = await setUp(t);
  await verifier.verify(await token());
  state.keys = [one.jwk, two.jwk];
  await verifier.verify(await token(two));
  assert.equal(fetches(), 2);
  for (let index = 0; index < 100; index++) {
    await assert.rejects(verifier.verify(await token(one, {}, { kid: `flood-${index}` })), { code: "key_not_found" });
  }
  assert.equal(fetches(), 2);
  time.now += 31;
  state.keys = [two.jwk, three.jwk];
  await verifier.verify(await token(three));
  assert.equal(fetches(), 3);
  await assert.rejects(verifier.verify(await token(one)), { code: "key_not_found" });
});

test("what the policy refuses never causes a fetch", async (t) => {
  const { verifier, token, state, fetches } = await setUp(t);
  await assert.rejects(verifier.verify(await token(one, {}, { alg: "RS256" })), { code: "algorithm_not_allowed" });
  await assert.rejects(verifier.verify(await token(one, {}, { crit: ["x"] })), { code: "critical_header_unsupported" });
  await assert.rejects(verifier.verify(await token(one, {}, { typ: "logout+jwt" })), { code: "type_mismatch" });
  await assert.rejects(verifier.verify("a.b.c"), { code: "token_malformed" });
  await assert.rejects(verifier.verify(await token(one, {}, { jku: "http://127.0.0.1:1/", alg: "none" })), { code: "algorithm_not_allowed" });
  const ofAnother = { iss: "https://other.example" };
  await assert.rejects(verifier.verify(await token(one, ofAnother)), { code: "issuer_mismatch", check: "routing" });
  assert.equal(fetches(), 0);

  // Nor does it take the one fetch that an unknown kid may cause.
  await verifier.verify(await token());
  for (const key of [two, three]) await assert.rejects(verifier.verify(await token(key, ofAnother)), { code: "key_not_found" });
  await assert.rejects(verifier.verify(await token(one, ofAnother)), { code: "issuer_mismatch", check: "issuer" });
  assert.equal(fetches(), 1);
  state.keys = [one.jwk, two.jwk];
  await verifier.verify(await token(two));
  assert.equal(fetches(), 2);
});

test("an outage: cached keys serve for the stale window, then 503; recovery is noticed", async (t) => {
  const { verifier, token, state, time, fetches } = await setUp(t);
  const compact = await token();
  await verifier.verify(compact);
  state.status = 500;
  for (time.now = START + 601; time.now < START + 600 + 3_600; time.now += 100) {
    await verifier.verify(compact);
    // The refresh runs beside the test; the clock stands until it is answered.
    await until(() => verifier.stats().issuers[0], ({ fetches, failures }) => failures === fetches - 1);
  }
  const during = fetches();
  assert.ok(during > 10 && during < 60, `${during} fetches`);
  assert.ok(verifier.stats().issuers[0].staleServed > 0);
  time.now = START + 600 + 3_601;
  // The longest pause is 60 s and up to a quarter of jitter.
  await unavailable(verifier.verify(compact), 75);
  state.status = 200;
  time.now += 120;
  await verifier.verify(compact);
});

test("a dead endpoint, cold: a hundred tokens at once, and a handful of fetches over time", async (t) => {
  const { verifier, token, state, time, fetches } = await setUp(t);
  state.status = 500;
  const compact = await token();
  await Promise.all(Array.from({ length: 100 }, () => unavailable(verifier.verify(compact))));
  assert.equal(fetches(), 1);
  for (let index = 0; index < 600; index++) {
    time.now += 0.1;
    await unavailable(verifier.verify(compact));
  }
  assert.ok(fetches() <= 9, `${fetches()} fetches in a minute`);
});

test("discovery: the issuer must be the expected one, and is asked again for a kid that the set lacks", async (t) => {
  const { server, options, token, state } = await setUp(t);
  const wellKnown = "/.well-known/openid-configuration";
  const discovering = { ...options, jwksUri: undefined };
  server.paths[wellKnown] = { issuer: server.origin, jwks_uri: `${server.origin}/jwks` };
  const verifier = createVerifier(discovering);
  await verifier.verify(await token());
  state.keys = [one.jwk, two.jwk];
  await verifier.verify(await token(two));
  assert.deepEqual(server.hits, { [wellKnown]: 2, "/jwks": 2 });

  for (const document of [
    { issuer: `${server.origin}/`, jwks_uri: `${server.origin}/jwks` },
    { issuer: "https://evil.example", jwks_uri: `${server.origin}/jwks` },
    { jwks_uri: `${server.origin}/jwks` },
    { issuer: server.origin },
    { issuer: server.origin, jwks_uri: "http://evil.example/jwks" },
    { issuer: server.origin, jwks_uri: "file:///etc/passwd" },
    [],
  ]) {
    server.paths[wellKnown] = document;
    await unavailable(createVerifier(discovering).verify(await token()));
  }
  server.paths[wellKnown] = (_, response) => response.writeHead(301, { location: "/jwks" }).end();
  await unavailable(createVerifier(discovering).verify(await token()));
  assert.equal(server.hits["/jwks"], 2);
});

test("discovery: a JWK Set that has moved is followed for a new kid, and stays where it was while the document cannot be had", async (t) => {
  const { server, options, token, state, time } = await setUp(t);
  const wellKnown = "/.well-known/openid-configuration";
  const document = (path) => ({ issuer: server.origin, jwks_uri: `${server.origin}${path}` });
  server.paths[wellKnown] = document("/jwks");
  const verifier = createVerifier({ ...options, jwksUri: undefined });
  await verifier.verify(await token());
  // The old place goes on answering.
  server.paths[wellKnown] = document("/moved");
  server.paths["/moved"] = { keys: [two.jwk] };
  await verifier.verify(await token(two));
  await assert.rejects(verifier.verify(await token()), { code: "key_not_found" });
  assert.deepEqual(server.hits, { [wellKnown]: 2, "/jwks": 1, "/moved": 1 });

  server.paths["/moved"] = { keys: [two.jwk, three.jwk] };
  for (const silence of [(_, response) => response.destroy(), (_, response) => response.writeHead(503).end(), { issuer: "https://evil.example" }]) {
    server.paths[wellKnown] = silence;
    time.now += 7_200;
    await verifier.verify(await token(three));
    assert.equal(verifier.stats().issuers[0].failures, 0);
  }
  assert.deepEqual([server.hits["/jwks"], state.requests.length, server.hits["/moved"], server.hits[wellKnown]], [1, 1, 4, 5]);
});

test("an injected fetch is the only one used, and its failures are outages", async (t) => {
  const { options, token, server } = await setUp(t);
  const calls = [];
  const fetch = async (url, init) => {
    calls.push([url, init.method, init.redirect]);
    return new Response(JSON.stringify({ keys: [one.jwk] }));
  };
  await createVerifier({ ...options, fetch }).verify(await token());
  assert.deepEqual(calls, [[`${server.origin}/jwks`, "GET", "manual"]]);
  const failing = () => Promise.reject(new TypeError("offline"));
  await unavailable(createVerifier({ ...options, fetch: failing }).verify(await token()));
  const followed = async () => Object.defineProperty(new Response(JSON.stringify({ keys: [one.jwk] })), "redirected", { value: true });
  await unavailable(createVerifier({ ...options, fetch: followed }).verify(await token()));
  for (const nothing of [null, undefined, { ok: true }, "{}"]) {
    await assert.rejects(createVerifier({ ...options, fetch: async () => nothing }).verify(await token()), /^VerifyError: jwks_unavailable: .*fetch gave no Response$/s);
  }
  assert.equal(server.hits["/jwks"], undefined);
});

test("an outage says what went wrong, to the log alone", async (t) => {
  const { options, token, state, server, time } = await setUp(t);
  const compact = await token();
  const url = `${server.origin}/jwks`;
  const why = async (verifier, pattern) => {
    const error = await verifier.verify(compact).catch((error) => error);
    assert.equal(error.code, "jwks_unavailable", error.message);
    assert.match(error.message, pattern);
    assert.ok(error.message.includes(url));
    assert.doesNotMatch(await error.toResponse().text(), /127\.0\.0\.1|offline|404/);
    assert.match(verifier.stats().issuers[0].lastFailure, pattern);
  };
  const failing = (error) => createVerifier({ ...options, fetch: () => Promise.reject(error) });
  await why(failing(new TypeError("fetch failed", { cause: new Error("getaddrinfo ENOTFOUND offline") })), /fetch failed \(getaddrinfo ENOTFOUND offline\)$/);
  await why(failing("a string"), /: a string$/);
  await why(failing(new Error("line\nbreak" + "x".repeat(10_000))), /^[^\n]{1,500}$/);
  state.status = 404;
  const verifier = createVerifier(options);
  await why(verifier, /404/);
  // The second caller, in the pause, learns the same; and nothing of it once keys have come.
  await why(verifier, /404/);
  state.status = 200;
  time.now += 10;
  await verifier.verify(compact);
  assert.equal(verifier.stats().issuers[0].lastFailure, null);
});

test("a clock that breaks while keys are refreshed harms nobody", async (t) => {
  const { options, token, time } = await setUp(t);
  const unhandled = [];
  const listen = (error) => unhandled.push(error);
  process.on("unhandledRejection", listen);
  t.after(() => process.off("unhandledRejection", listen));
  let broken = false;
  const verifier = createVerifier({ ...options, clock: () => (broken ? NaN : time.now) });
  const compact = await token();
  await verifier.verify(compact);
  time.now += 590;
  await verifier.verify(compact);
  broken = true;
  await assert.rejects(verifier.verify(compact), { option: "clock" });
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.deepEqual(unhandled, []);
});

test("one issuer's outage does not touch another's", async (t) => {
  const a = await setUp(t);
  const b = await setUp(t);
  a.state.status = 500;
  const { clock, ...first } = a.options;
  const { clock: _, ...second } = b.options;
  const verifier = createVerifier({ issuers: [first, second], clock });
  await unavailable(verifier.verify(await a.token()));
  await verifier.verify(await b.token());
});

test("what one verifier fetched serves another, as old as it is", async (t) => {
  const { options, verifier, token, time, fetches } = await setUp(t);
  const compact = await token();
  assert.equal(verifier.exportState(), "[]");
  await verifier.verify(compact);
  const state = verifier.exportState();
  time.now += 100;
  const second = createVerifier({ ...options, state });
  await second.verify(compact);
  assert.equal(fetches(), 1);
  assert.deepEqual([second.stats().issuers[0].fetchedAt, second.stats().stateRefused], [START, []]);
  // Past all use, of another issuer, changed: as if it were not there, and the reason is told.
  time.now += 100_000;
  const late = createVerifier({ ...options, state });
  await late.verify(compact);
  assert.equal(fetches(), 2);
  assert.equal(late.stats().stateRefused.length, 1);
  const strange = createVerifier({ ...options, issuer: "https://other.example", state });
  assert.match(strange.stats().stateRefused[0], /not configured/);
  assert.equal(createVerifier({ ...options, state: '["{}"]' }).stats().stateRefused.length, 1);
  for (const wrong of ["", "{}", "[1]", 7]) assert.throws(() => createVerifier({ ...options, state: wrong }), /state: must be what exportState/);
});

test("state with discovery: a verifier gives on what it was given, and keeps it through an outage", async (t) => {
  const { server, options, token, time, state: issuer } = await setUp(t);
  const discovering = { ...options, jwksUri: undefined };
  server.paths["/.well-known/openid-configuration"] = { issuer: server.origin, jwks_uri: `${server.origin}/jwks` };
  const compact = await token();
  const first = createVerifier(discovering);
  await first.verify(compact);
  const state = first.exportState();
  assert.equal(JSON.parse(JSON.parse(state)[0]).jwks_uri, `${server.origin}/jwks`);

  const second = createVerifier({ ...discovering, state });
  assert.equal(second.exportState(), state);
  await second.verify(compact);
  assert.equal(second.exportState(), state);
  assert.deepEqual(server.hits, { "/.well-known/openid-configuration": 1, "/jwks": 1 });

  // Nobody answers any more: the set is as good as it was, for this process and the next.
  issuer.status = 500;
  server.paths["/.well-known/openid-configuration"] = (_, response) => response.writeHead(500).end();
  time.now += 601;
  for (const verifier of [first, second]) {
    await verifier.verify(compact);
    assert.equal(verifier.stats().issuers[0].failures, 1);
    assert.equal(verifier.exportState(), state);
  }
  await createVerifier({ ...discovering, state: second.exportState() }).verify(compact);
});

test("when the JWK Set moves, the entity tag of the old place is not shown at the new one", async (t) => {
  const { server, options, token, time } = await setUp(t);
  const seen = [];
  // Both places number their versions, as many servers do.
  const place = (path, keys) => {
    server.paths[path] = (request, response) => {
      seen.push([path, request.headers["if-none-match"]]);
      if (request.headers["if-none-match"] === '"1"') return response.writeHead(304).end();
      response.writeHead(200, { etag: '"1"' }).end(JSON.stringify({ keys }));
    };
  };
  place("/old", [one.jwk]);
  place("/new", [two.jwk]);
  const discovery = (path) => (server.paths["/.well-known/openid-configuration"] = { issuer: server.origin, jwks_uri: `${server.origin}${path}` });
  discovery("/old");
  const verifier = createVerifier({ ...options, jwksUri: undefined });
  await verifier.verify(await token(one));
  discovery("/new");
  time.now += 86_401;
  await verifier.verify(await token(two));
  await assert.rejects(verifier.verify(await token(one)), { code: "key_not_found" });
  time.now += 601;
  await verifier.verify(await token(two));
  const [first, moved, ...known] = seen;
  assert.deepEqual([first, moved, known.at(-1)], [["/old", undefined], ["/new", undefined], ["/new", '"1"']]);
});

test("a failure of an hour ago is no outage: whoever comes after a quiet time asks first", async (t) => {
  const { verifier, token, state, time, fetches } = await setUp(t);
  state.headers = { "cache-control": "max-age=3600" };
  const compact = await token();
  await verifier.verify(compact);
  state.status = 500;
  time.now = START + 3_300;
  await verifier.verify(compact);
  await until(() => verifier.stats().issuers[0], ({ failures }) => failures === 1);
  Object.assign(state, { status: 200, keys: [two.jwk] });
  time.now = START + 7_199;
  await assert.rejects(verifier.verify(compact), { code: "key_not_found" });
  assert.ok(fetches() >= 3);
});

test("a key that its issuer removes takes the remembered tokens with it", async (t) => {
  const { verifier, token, time, state } = await setUp(t);
  const compact = await token();
  for (let times = 0; times < 3; times += 1) await verifier.verify(compact);
  assert.deepEqual([verifier.stats().tokenCache.hits, verifier.stats().tokenCache.tokens], [2, 1]);
  state.keys = [two.jwk];
  time.now += 3_601;
  await assert.rejects(verifier.verify(compact), (error) => error.code === "key_not_found");
  assert.deepEqual([verifier.stats().tokenCache.hits, verifier.stats().tokenCache.tokens], [2, 0]);
});
