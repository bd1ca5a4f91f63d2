// What must hold on every host: no import but the package, no global but those of the web platform.
import { ConfigurationError, InternalError, VerifyError, createVerifier, inspectJwks, inspectToken, verifySignature } from "edgeseal";
import * as reference from "edgeseal/reference";

const issuer = "https://login.example.com";
const audience = "https://api.example.com";
const key = await makeKey("k1");
const next = await makeKey("k2");
const options = { issuer, audience, algorithms: ["ES256"], jwks: { keys: [key.jwk] } };
const claims = (more = {}) => ({ iss: issuer, aud: audience, sub: "alice", exp: seconds() + 600, ...more });

/** Runs every case against the issuers at `origin`; tells `report` of each `{ name, error, ms }`. */
export async function runAll(origin, report) {
  for (const [name, run] of Object.entries(cases)) {
    const begun = performance.now();
    let error = null;
    try {
      await run(issuers(origin));
    } catch (thrown) {
      error = String(thrown?.stack ?? thrown);
    }
    report({ name, error, ms: Math.round(performance.now() - begun) });
  }
}

const cases = {
  "a token is verified, its header and claims are given": async () => {
    const { header, claims: got } = await createVerifier(options).verify(await key.token(claims({ deep: { er: [1, "é", null] } })));
    equal(header, { alg: "ES256", kid: "k1" });
    equal(got.deep, { er: [1, "é", null] });
  },

  "every algorithm, cold and hot, right and wrong": async ({ tokens }) => {
    const { keys, tokens: all } = await tokens();
    for (const [algorithm, token] of Object.entries(all)) {
      const verifier = createVerifier({ ...options, algorithms: [algorithm], jwks: { keys } });
      const wrong = token.slice(0, -10) + (token.at(-10) === "A" ? "B" : "A") + token.slice(-9);
      for (let round = 0; round < 12; round++) {
        equal((await verifier.verify(token)).claims.sub, "alice", algorithm);
        await refused(verifier.verify(wrong), "signature_invalid", "signature");
      }
    }
  },

  "one backend alone: WebCrypto, or pure Rust from edgeseal/reference": async ({ tokens }) => {
    const { keys, tokens: all } = await tokens();
    for (const [backend, create] of Object.entries({ webcrypto: createVerifier, rustcrypto: reference.createVerifier })) {
      for (const [algorithm, token] of Object.entries(all)) {
        const verifier = create({ ...options, algorithms: [algorithm], jwks: { keys }, backend, tokenCache: 0 });
        const wrong = token.slice(0, -10) + (token.at(-10) === "A" ? "B" : "A") + token.slice(-9);
        for (let round = 0; round < 3; round++) {
          equal((await verifier.verify(token)).claims.sub, "alice", algorithm);
          // Its errors are those of "edgeseal".
          await refused(verifier.verify(wrong), "signature_invalid", "signature");
        }
        const counts = Object.entries(verifier.stats().verifications).filter(([, count]) => count > 0);
        equal(counts, [[backend, 6]], algorithm);
      }
    }
  },

  "RSA exponents that the host does not take are verified all the same": async ({ exponents }) => {
    const { keys, tokens: all } = await exponents();
    for (const [name, token] of Object.entries(all)) {
      const algorithm = name.slice(0, 5);
      const own = { ...options, algorithms: [algorithm], jwks: { keys } };
      const verifier = createVerifier(own);
      const wrong = token.slice(0, -10) + (token.at(-10) === "A" ? "B" : "A") + token.slice(-9);
      for (let round = 0; round < 3; round++) {
        equal((await verifier.verify(token)).claims.sub, "alice", name);
        await refused(verifier.verify(wrong), "signature_invalid", "signature");
      }
      // Whoever did it said so.
      equal(Object.values(verifier.stats().verifications).reduce((a, b) => a + b), 4, name);
      const [message, signature] = [utf8(token.slice(0, token.lastIndexOf("."))), bytes(token.slice(token.lastIndexOf(".") + 1))];
      const jwk = keys.find(({ kid }) => kid === `kid-${name}`);
      for (const backend of ["auto", "rsa-montgomery"]) {
        await verifySignature({ algorithm, jwk, message, signature, backend });
        await refused(verifySignature({ algorithm, jwk, message: message.subarray(1), signature, backend }), "signature_invalid", "signature");
      }
    }
    const [jwk] = keys;
    await throws(verifySignature({ algorithm: "ES256", jwk: key.jwk, message: utf8(""), signature: new Uint8Array(64).fill(1), backend: "rsa-montgomery" }), ConfigurationError);
    await refused(createVerifier({ ...options, algorithms: ["RS256"], jwks: { keys: [{ ...jwk, e: "AQAC" }] } }).verify(Object.values(all)[0]), "key_not_found", "key");
  },

  "the same token again costs a comparison, and is judged anew": async ({ script, remote }) => {
    await script("again", [{ body: { keys: [key.jwk] } }, { body: { keys: [next.jwk] } }]);
    let now = seconds();
    const verifier = createVerifier({ ...remote("again"), clock: () => now });
    const token = await key.token(claims({ exp: now + 5_000 }));
    for (let round = 0; round < 5; round++) await verifier.verify(token);
    const { tokenCache, verifications } = verifier.stats();
    equal([tokenCache.hits, tokenCache.tokens, Object.values(verifications).reduce((a, b) => a + b)], [4, 1, 1]);
    now += 601;
    await refused(verifier.verify(token), "key_not_found", "key");
    const expiring = createVerifier({ ...options, clock: () => now });
    const soon = await key.token(claims({ exp: now + 10 }));
    await expiring.verify(soon);
    now += 71;
    await refused(expiring.verify(soon), "token_expired", "expiry");
  },

  "presentations of SD-JWTs: what is disclosed, and by whom": async () => {
    const digest = async (text) => base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(text))));
    const name = base64url(utf8(JSON.stringify(["salt", "name", "Ada"])));
    const sdJwt = `${await key.token(claims({ _sd: [await digest(name)], cnf: { jwk: next.jwk } }))}~${name}~`;
    const proof = { aud: audience, nonce: "n", iat: seconds(), sd_hash: await digest(sdJwt) };
    const bound = sdJwt + (await next.token(proof, { typ: "kb+jwt" }));
    const verifier = createVerifier({ ...options, sdJwt: { keyBinding: "required" } });
    for (let round = 0; round < 3; round++) {
      const { claims: got, disclosed } = await verifier.verify(bound, { nonce: "n" });
      equal([got.name, got._sd, disclosed], ["Ada", undefined, ["/name"]]);
      await refused(verifier.verify(bound, { nonce: "m" }), "proof_invalid", "proof");
    }
    equal(verifier.stats().tokenCache.tokens, 0, "a proof of possession is never remembered");
    await refused(verifier.verify(sdJwt), "proof_required", "proof");
    await refused(verifier.verify(`${sdJwt}${name}~`), "disclosure_invalid", "disclosures");
    await refused(verifier.verify(await key.token(claims())), "type_mismatch", "type");
    await refused(createVerifier(options).verify(bound, { nonce: "n" }), "token_malformed", "structure");
    const plain = await createVerifier({ ...options, sdJwt: { keyBinding: "where_bound", allowPlain: true } }).verify(await key.token(claims()));
    equal(plain.disclosed, undefined);
  },

  "each family of refusals has its code and check": async () => {
    const verifier = createVerifier({ ...options, typ: "at+jwt", requiredClaims: ["scope"], maxLifetime: 3600, maxAge: 600 });
    const now = seconds();
    const good = { ...claims(), scope: "read", iat: now };
    const header = { typ: "at+jwt" };
    equal((await verifier.verify(await key.token(good, header))).claims.scope, "read");
    for (const [code, check, token] of [
      ["token_malformed", "structure", "a.b"],
      ["token_too_large", "structure", "x".repeat(1_000_000)],
      ["critical_header_unsupported", "critical", await key.token(good, { ...header, crit: ["b64"], b64: false })],
      ["algorithm_not_allowed", "algorithm", await key.token(good, { ...header, alg: "none" })],
      ["algorithm_not_allowed", "algorithm", await key.token(good, { ...header, alg: "HS256" })],
      ["type_mismatch", "type", await key.token(good)],
      ["key_not_found", "key", await key.token(good, { ...header, kid: "other" })],
      ["signature_invalid", "signature", await next.token(good, { ...header, kid: "k1" })],
      ["claim_missing", "claims", await key.token({ ...good, scope: undefined }, header)],
      ["claim_invalid", "claims", await key.token({ ...good, exp: "tomorrow" }, header)],
      ["proof_required", "proof", await key.token({ ...good, cnf: { jkt: "x" } }, header)],
      ["issuer_mismatch", "issuer", await key.token({ ...good, iss: "https://other.example" }, header)],
      ["audience_mismatch", "audience", await key.token({ ...good, aud: "https://other.example" }, header)],
      ["token_expired", "expiry", await key.token({ ...good, iat: now - 900, exp: now - 600 }, header)],
      ["token_not_yet_valid", "not_before", await key.token({ ...good, nbf: now + 600 }, header)],
      ["lifetime_exceeded", "lifetime", await key.token({ ...good, exp: now + 7200 }, header)],
      ["token_too_old", "lifetime", await key.token({ ...good, iat: now - 900, exp: now + 100 }, header)],
    ]) {
      await refused(verifier.verify(token), code, check);
    }
  },

  "a request: its bearer token and no other, one and not two": async () => {
    const verifier = createVerifier(options);
    const token = await key.token(claims());
    const request = (...fields) => new Request(audience, { headers: fields.map((field) => ["authorization", field]) });
    equal((await verifier.verify(request(`Bearer ${token}`))).claims.sub, "alice");
    equal((await verifier.verify({ headers: { get: () => `bearer ${token}` } })).claims.sub, "alice");
    await refused(verifier.verify(request()), "token_missing", null);
    await refused(verifier.verify(null), "token_missing", null);
    await refused(verifier.verify(request(`Bearer ${token}`, `Bearer ${token}`)), "authorization_malformed", null);
    await throws(verifier.verify(42), TypeError);
  },

  "toResponse tells the code, and the message both values": async () => {
    const error = await createVerifier(options).verify(await key.token(claims({ aud: "secret" }))).catch((error) => error);
    equal([error.message.includes("secret"), error.message.includes(audience)], [true, true]);
    const response = error.toResponse();
    equal(response.status, 401);
    equal(response.headers.get("www-authenticate"), 'Bearer error="invalid_token", error_description="audience_mismatch"');
    equal(response.headers.get("content-type"), "application/problem+json");
    const text = await response.text();
    equal([JSON.parse(text).code, text.includes("secret")], ["audience_mismatch", false]);
    const missing = await createVerifier(options).verify(undefined).catch((error) => error);
    equal(missing.toResponse().headers.get("www-authenticate"), 'Bearer realm="edgeseal"');
  },

  "inline keys as text and as an object, several issuers": async () => {
    const other = { ...options, issuer: "https://other.example", jwks: JSON.stringify({ keys: [next.jwk] }) };
    const verifier = createVerifier({ issuers: [options, other] });
    equal((await verifier.verify(await key.token(claims()))).claims.iss, issuer);
    equal((await verifier.verify(await next.token(claims({ iss: other.issuer })))).claims.iss, other.issuer);
    await refused(verifier.verify(await key.token(claims({ iss: other.issuer }))), "key_not_found", "key");
    await refused(verifier.verify(await key.token(claims({ iss: "https://third.example" }))), "issuer_mismatch", "routing");
  },

  "remote keys by discovery, for many callers at once": async ({ script, hits, url }) => {
    await script("discovery/.well-known/openid-configuration", [{ body: { issuer: url("discovery"), jwks_uri: url("discovery/jwks") } }]);
    await script("discovery/jwks", [{ body: { keys: [key.jwk] } }]);
    const verifier = createVerifier({ issuer: url("discovery"), audience, algorithms: ["ES256"] });
    const token = await key.token(claims({ iss: url("discovery") }));
    await Promise.all(Array.from({ length: 20 }, () => verifier.verify(token)));
    equal([await hits("discovery/.well-known/openid-configuration"), await hits("discovery/jwks")], [1, 1]);
    const [{ keys, fetches, failures }] = verifier.stats().issuers;
    equal([keys, fetches, failures], [1, 1, 0]);
  },

  "a rotation is followed, a removed key dies": async ({ script, hits, remote }) => {
    await script("rotation", [{ body: { keys: [key.jwk] } }, { body: { keys: [next.jwk] } }]);
    const verifier = createVerifier(remote("rotation"));
    await verifier.verify(await key.token(claims()));
    await verifier.verify(await next.token(claims()));
    equal(await hits("rotation"), 2);
    await refused(verifier.verify(await key.token(claims())), "key_not_found", "key");
    for (let index = 0; index < 10; index++) {
      await refused(verifier.verify(await key.token(claims(), { kid: `made-up-${index}` })), "key_not_found", "key");
    }
    equal(await hits("rotation"), 2);
  },

  "an outage is a 503 with Retry-After, asked for once, and ends": async ({ script, hits, remote }) => {
    await script("outage", [{ status: 500, body: "" }, { body: { keys: [key.jwk] } }]);
    let now = seconds();
    const verifier = createVerifier({ ...remote("outage"), clock: () => now });
    const token = await key.token(claims());
    const errors = await Promise.all(Array.from({ length: 20 }, () => verifier.verify(token).catch((error) => error)));
    for (const error of errors) equal(error.code, "jwks_unavailable");
    const response = errors[0].toResponse();
    equal([response.status, response.headers.get("retry-after"), response.headers.get("www-authenticate")], [503, String(errors[0].retryAfter), null]);
    equal(await hits("outage"), 1);
    now += 10;
    await verifier.verify(token);
    equal([await hits("outage"), verifier.stats().issuers[0].failures], [2, 1]);
  },

  "no redirect is followed, nothing but a JWK Set is taken": async ({ script, hits, remote, url }) => {
    await script("elsewhere", [{ body: { keys: [key.jwk] } }]);
    await script("redirect", [{ status: 302, headers: { location: url("elsewhere") }, body: "" }]);
    await script("html", [{ headers: { "content-type": "text/html" }, body: "<!doctype html>" }]);
    await script("large", [{ body: JSON.stringify({ keys: [key.jwk] }).padEnd(65 * 1024) }]);
    for (const name of ["redirect", "html", "large", "absent"]) {
      await refused(createVerifier(remote(name)).verify(await key.token(claims())), "jwks_unavailable");
    }
    equal(await hits("elsewhere"), 0);
  },

  "a fetch of the caller's own is the only one used": async ({ remote, hits, script }) => {
    await script("own", [{ body: { keys: [key.jwk] } }]);
    const calls = [];
    const fetch = async (url, init) => {
      calls.push([url, init.method, init.redirect]);
      return Response.json({ keys: [key.jwk] });
    };
    const own = remote("own");
    await createVerifier({ ...own, fetch }).verify(await key.token(claims()));
    equal([calls, await hits("own")], [[[own.jwksUri, "GET", "manual"]], 0]);
    const throwing = () => {
      throw new Error("no network here");
    };
    await refused(createVerifier({ ...own, fetch: throwing }).verify(await key.token(claims())), "jwks_unavailable");
  },

  "a mistake in the options is named, and is no refusal": async () => {
    const token = await key.token(claims());
    for (const [option, more] of [
      ["leewy", { leewy: 1 }],
      ["leeway", { leeway: 301 }],
      ["algorithms", { algorithms: ["none"] }],
      ["audience", { audience: undefined }],
      ["jwks", { jwksUri: "https://login.example.com/jwks" }],
      ["cache.stale", { cache: { stale: 1 } }],
    ]) {
      // Where WebAssembly is loaded asynchronously, some of it is said by the first verify.
      const error = await throws((async () => createVerifier({ ...options, ...more }).verify(token))(), ConfigurationError);
      equal([error.code, error.option, error.message.includes(option)], ["policy_invalid", option, true]);
    }
  },

  "hundreds of different tokens at once, right and wrong mixed": async () => {
    const verifier = createVerifier(options);
    const tokens = await Promise.all(Array.from({ length: 200 }, (_, index) => (index % 4 ? key : next).token(claims({ jti: `${index}` }), { kid: "k1" })));
    const results = await Promise.allSettled(tokens.map((token) => verifier.verify(token)));
    results.forEach(({ value, reason }, index) => equal(value?.claims.jti ?? reason.code, index % 4 ? `${index}` : "signature_invalid"));
  },

  "a schema shapes the claims, or refuses them": async () => {
    const validate = async ({ sub, scope }) => (typeof scope === "string" ? { value: { sub, scope } } : { issues: [{ message: "no text", path: ["scope"] }] });
    const verifier = createVerifier({ ...options, schema: { "~standard": { version: 1, vendor: "suite", validate } } });
    equal((await verifier.verify(await key.token(claims({ scope: "read" })))).claims, { sub: "alice", scope: "read" });
    const error = await refused(verifier.verify(await key.token(claims())), "claim_invalid", "claims");
    equal([error.message, error.toResponse().status], ["claim_invalid: the schema says scope: no text", 401]);
  },

  "a schema sees what an SD-JWT discloses": async () => {
    const disclosure = base64url(utf8(JSON.stringify(["c2FsdA", "country", "NL"])));
    const digest = base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(disclosure))));
    const token = await key.token(claims({ _sd: [digest] }));
    const validate = (claims) => ({ value: { country: claims.country ?? null } });
    const schema = { "~standard": { version: 1, vendor: "suite", validate } };
    const verifier = createVerifier({ ...options, sdJwt: { keyBinding: "where_bound" } });
    const shown = await verifier.verify(`${token}~${disclosure}~`, { schema });
    equal([shown.claims, shown.disclosed], [{ country: "NL" }, ["/country"]]);
    equal((await verifier.verify(`${token}~`, { schema })).claims, { country: null });
    const error = await throws(verifier.verify(`${token}~`, { nonce: 1 }), ConfigurationError);
    equal(error.option, "nonce");
  },

  "a trap in the WebAssembly is one call's InternalError, and the next call's nothing": async ({ script, hits, remote, tokens }) => {
    await script("trap", [{ body: { keys: [key.jwk] } }]);
    const verifier = createVerifier(remote("trap"));
    const others = await tokens();
    const other = createVerifier({ ...options, algorithms: ["RS256"], jwks: { keys: others.keys }, tokenCache: 0 });
    const token = await key.token(claims());
    await verifier.verify(token);
    for (let round = 0; round < 5; round++) {
      const memory = await memoryOf(() => verifier.verify(token));
      // While one waits for WebCrypto, another's call traps.
      const waiting = Array.from({ length: 5 }, () => other.verify(others.tokens.RS256));
      new Uint8Array(memory).fill(0xff);
      const error = await throws(verifier.verify(token), InternalError);
      equal([error.code, error.name, error instanceof VerifyError], ["internal_error", "InternalError", false]);
      for (const { claims: got } of await Promise.all(waiting)) equal(got.sub, "alice");
      equal((await verifier.verify(token)).claims.sub, "alice");
      await refused(verifier.verify(await next.token(claims(), { kid: "k1" })), "signature_invalid", "signature");
      const [{ keys, fetchedAt }] = verifier.stats().issuers;
      equal([keys, fetchedAt > 0, JSON.parse(verifier.exportState()).length], [1, true, 1]);
      if (memory === (await memoryOf(() => verifier.verify(token)))) throw new Error("it is the same memory");
    }
    // The keys came along.
    equal(await hits("trap"), 1);
    // Where no verifier stands between.
    const memory = await memoryOf(() => verifier.verify(token));
    new Uint8Array(memory).fill(0xff);
    const error = await throws(inspectToken(token), InternalError);
    equal(error.cause instanceof WebAssembly.RuntimeError, true, String(error.cause));
    equal((await inspectToken(token)).claims.sub, "alice");
  },

  "claims belong to whoever got them": async () => {
    const verifier = createVerifier(options);
    const token = await key.token(claims({ roles: ["reader"] }));
    const first = await verifier.verify(token);
    first.claims.roles.push("admin");
    first.header.alg = "none";
    const second = await verifier.verify(token);
    equal([second.claims.roles, second.header.alg], [["reader"], "ES256"]);
  },

  "below the level of tokens: a signature, a JWK Set, a token to look at": async () => {
    const token = await key.token(claims());
    const [message, signature] = [utf8(token.slice(0, token.lastIndexOf("."))), bytes(token.slice(token.lastIndexOf(".") + 1))];
    await verifySignature({ algorithm: "ES256", jwk: key.jwk, message, signature });
    await refused(verifySignature({ algorithm: "ES256", jwk: next.jwk, message, signature }), "signature_invalid", "signature");
    const { usable, skipped } = await inspectJwks(JSON.stringify({ keys: [key.jwk, { kty: "oct", k: "AAAA" }] }));
    equal([usable, skipped], [1, [{ index: 1, reason: "symmetric" }]]);
    equal((await inspectToken(token)).claims.sub, "alice");
  },
};

/** What a case needs of the issuers at `origin`. */
function issuers(origin) {
  const url = (name) => `${origin}/${name}`;
  const get = async (path) => (await fetch(url(path), { cache: "no-store" })).json();
  return {
    url,
    script: async (name, answers) => {
      await (await fetch(url(`script/${name}`), { method: "PUT", body: JSON.stringify(answers) })).text();
    },
    hits: (name) => get(`hits/${name}`),
    tokens: () => get("tokens"),
    exponents: () => get("exponents"),
    remote: (name) => ({ issuer, audience, algorithms: ["ES256"], jwksUri: url(name) }),
  };
}

/** The memory of the WebAssembly, which is nobody's business: what a token is written into belongs to it. */
async function memoryOf(verify) {
  const { encodeInto } = TextEncoder.prototype;
  let memory;
  TextEncoder.prototype.encodeInto = function (text, into) {
    memory = into.buffer;
    return encodeInto.call(this, text, into);
  };
  try {
    await verify();
  } finally {
    TextEncoder.prototype.encodeInto = encodeInto;
  }
  return memory;
}

async function makeKey(kid) {
  const { subtle } = crypto;
  const { publicKey, privateKey } = await subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const { kty, crv, x, y } = await subtle.exportKey("jwk", publicKey);
  const token = async (claims, header = {}) => {
    const input = `${base64url(utf8(JSON.stringify({ alg: "ES256", kid, ...header })))}.${base64url(utf8(JSON.stringify(claims)))}`;
    return `${input}.${base64url(new Uint8Array(await subtle.sign({ name: "ECDSA", hash: "SHA-256" }, privateKey, utf8(input))))}`;
  };
  return { jwk: { kty, crv, x, y, kid, alg: "ES256", use: "sig" }, token };
}

function seconds() {
  return Math.floor(Date.now() / 1_000);
}

function utf8(text) {
  return new TextEncoder().encode(text);
}

function base64url(data) {
  return btoa(String.fromCharCode(...data)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function bytes(text) {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
}

function equal(got, expected, what = "") {
  const [a, b] = [JSON.stringify(got), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what} expected ${b}, got ${a}`);
}

async function throws(promise, type) {
  const error = await promise.then(
    (value) => new Error(`nothing was thrown, but ${JSON.stringify(value)} returned`),
    (error) => error,
  );
  if (!(error instanceof type)) throw new Error(`expected ${type.name}, got ${error?.stack ?? error}`);
  return error;
}

async function refused(promise, code, check) {
  const error = await throws(promise, VerifyError);
  equal([error.code, check === undefined ? undefined : error.check], [code, check], error.message);
  return error;
}
