// The playground as a visitor uses it: the built page in a real Chromium, its own WASM, tokens of its own example and of
// node:crypto.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { checks, launchChromium, openPlayground, serveDist, verdict } from "./support.mjs";
import { ALGORITHMS, makeKey } from "./tokens.mjs";

const ISSUER = "https://issuer.example";
const AUDIENCE = "https://api.example";
const NOW = 1_790_000_000;
const CLAIMS = { iss: ISSUER, aud: AUDIENCE, sub: "bob", iat: NOW - 10, exp: NOW + 300 };

let server;
let browser;
let page;

before(async () => {
  server = await serveDist();
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});
beforeEach(async () => {
  page = await browser.newPage();
  await openPlayground(page, server.origin);
});
afterEach(() => page.close());

describe("the example", () => {
  test("is accepted, every check passes, and its contents are marked as verified", async () => {
    await click("example");
    assert.deepEqual(await verdict(page), { state: "accepted", code: "", check: "" });
    assert.deepEqual(new Set(Object.values(await checks(page))), new Set(["pass"]));
    const { header, claims, verified } = await contents();
    assert.equal(verified, "true");
    assert.equal(header.alg, "ES256");
    assert.equal(claims.sub, "alice");
    assert.match(await text("time-taken"), /^\d+(\.\d)? (µs|ms) a verification$/);
    assert.match(await text("judged-at"), /^Judged as of 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC$/);
  });

  const TAMPERS = [
    ["tamper-signature", "signature_invalid", "signature"],
    ["tamper-audience", "audience_mismatch", "audience"],
    ["tamper-expiry", "token_expired", "expiry"],
    ["tamper-alg-none", "algorithm_not_allowed", "algorithm"],
    ["tamper-unknown-key", "key_not_found", "key"],
  ];
  for (const [button, code, check] of TAMPERS) {
    test(`${button} is refused with ${code}; what lies before has passed, what comes after is not reached`, async () => {
      await click(button);
      assert.deepEqual(await verdict(page), { state: "rejected", code, check });
      const states = await checks(page);
      const names = Object.keys(states);
      for (const [index, name] of names.entries()) {
        const expected = index < names.indexOf(check) ? "pass" : name === check ? "fail" : "not-reached";
        assert.equal(states[name], expected, name);
      }
      assert.equal((await contents()).verified, "false");
      // What the issuer signed for somebody else is not anyone's.
      const trust = names.indexOf(check) > names.indexOf("signature") ? /^Signed by the issuer's key, and not accepted/ : /^Anyone could have written this/;
      assert.match(await page.locator("#trust-note").textContent(), trust);
      assert.notEqual(await text("verdict-message"), "");
    });
  }

  test("is another one each time", async () => {
    await click("example");
    const first = await page.getByTestId("token").inputValue();
    await click("example");
    assert.notEqual(await page.getByTestId("token").inputValue(), first);
  });
});

describe("a pasted token", () => {
  for (const algorithm of ALGORITHMS) {
    test(`of ${algorithm}, signed by node:crypto, is accepted, and refused when the policy names another algorithm`, async () => {
      const key = makeKey(algorithm);
      await fill({ token: key.sign(CLAIMS), jwks: set(key.jwk), algorithms: [algorithm] });
      assert.deepEqual(await verdict(page), { state: "accepted", code: "", check: "" });
      await setAlgorithms([algorithm === "ES256" ? "RS256" : "ES256"]);
      assert.equal((await verdict(page)).code, "algorithm_not_allowed");
    });
  }

  test("is judged while it is typed, and never shows the verdict of the text before", async () => {
    const key = makeKey("ES256");
    await fill({ token: key.sign(CLAIMS), jwks: set(key.jwk) });
    await page.getByTestId("issuer").fill("https://other.example");
    assert.equal(await page.getByTestId("verdict").getAttribute("data-state"), "running");
    assert.equal(await page.getByTestId("verdict").getAttribute("data-code"), "");
    assert.equal((await verdict(page)).code, "issuer_mismatch");
  });

  test("leaves nothing of its verdict to be read once another text is there, by hand or by a link", async () => {
    const key = makeKey("ES256");
    const changes = [() => page.getByTestId("issuer").fill("https://other.example"), () => page.evaluate(() => (location.hash = "issuer=https%3A%2F%2Fother.example&algorithms=ES256"))];
    for (const change of changes) {
      await fill({ token: key.sign(CLAIMS), jwks: set(key.jwk) });
      assert.equal((await verdict(page)).state, "accepted");
      const before = await page.locator("#result").evaluate((result) => result.offsetHeight);
      const reading = page.evaluate(
        () =>
          new Promise((resolve) => {
            new MutationObserver(() => {
              const text = (selector) => document.querySelector(selector).innerText;
              resolve({
                verdict: text("[data-testid=verdict]").trim(),
                glance: document.querySelector("#glance-text").textContent,
                checks: document.querySelector("[data-testid=checks]").textContent,
                result: text("#result"),
                marks: [...document.querySelectorAll("#result [data-verified]")].map((element) => element.dataset.verified),
                height: document.querySelector("#result").offsetHeight,
              });
            }).observe(document.querySelector("[data-testid=verdict]"), { attributes: true });
          }),
      );
      await change();
      const read = await reading;
      assert.equal(read.verdict, "Judging");
      assert.equal(read.glance, "Judging");
      assert.doesNotMatch(read.checks, /: (?:passed|failed|not checked)\./);
      assert.doesNotMatch(read.result, /Accepted|passed|a verification|Judged as of|ES256-key\n|^Verified/m);
      assert.deepEqual(new Set(read.marks), new Set(["false"]));
      assert.equal(read.height, before, "nothing jumps");
    }
  });

  test("is judged anew when the visitor comes back to the page", async () => {
    await page.clock.install();
    await openPlayground(page, server.origin);
    await click("example");
    assert.equal((await verdict(page)).state, "accepted");
    await page.clock.setSystemTime(Date.now() + 2 * 3_600_000);
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    await page.waitForSelector("[data-testid=verdict][data-code=token_expired]");
  });

  test("that is no token fails the structure check and shows no contents", async () => {
    const key = makeKey("ES256");
    await fill({ token: "not a token", jwks: set(key.jwk) });
    assert.deepEqual(await verdict(page), { state: "rejected", code: "token_malformed", check: "structure" });
    assert.equal(await page.getByTestId("claims").isVisible(), false);
  });

  test("is judged by the chosen instant, as seconds and as RFC 3339, with the leeway", async () => {
    const key = makeKey("ES256");
    await fill({ token: key.sign(CLAIMS), jwks: set(key.jwk), now: String(CLAIMS.exp + 59) });
    assert.equal((await verdict(page)).state, "accepted");
    await page.getByTestId("now").fill(new Date((CLAIMS.exp + 60) * 1000).toISOString());
    assert.equal((await verdict(page)).code, "token_expired");
    await page.getByTestId("leeway").fill("61");
    assert.equal((await verdict(page)).state, "accepted");
    await page.getByTestId("now").fill(String(NOW - 3600));
    assert.equal((await verdict(page)).code, "token_not_yet_valid");
  });

  test("expires before the visitor's eyes, and what they have selected stays selected until then", async () => {
    await page.clock.install();
    await openPlayground(page, server.origin);
    await click("example");
    assert.equal((await verdict(page)).state, "accepted");
    await page.evaluate(() => getSelection().selectAllChildren(document.querySelector("[data-testid=claims]")));
    await page.clock.fastForward(3_000_000);
    assert.equal((await verdict(page)).state, "accepted");
    assert.match(await page.evaluate(() => getSelection().toString()), /"sub": "alice"/);
    await page.clock.fastForward(700_000);
    await page.waitForSelector("[data-testid=verdict][data-code=token_expired]");
    assert.equal((await contents()).verified, "false");
  });

  test("meets the further demands and the dangerous switches", async () => {
    const key = makeKey("ES256");
    await fill({ token: key.sign({ ...CLAIMS, aud: ["x", "second"] }, { typ: "at+jwt" }), jwks: set(key.jwk), audience: "first second" });
    assert.equal((await verdict(page)).state, "accepted");
    await page.getByTestId("typ").fill("dpop+jwt");
    assert.equal((await verdict(page)).code, "type_mismatch");
    await page.getByTestId("typ").fill("application/at+jwt");
    await page.getByText("More demands").click();
    await page.getByTestId("max-lifetime").fill("309");
    assert.equal((await verdict(page)).code, "lifetime_exceeded");
    await page.getByTestId("max-lifetime").fill("310");
    await page.getByTestId("max-age").fill("9");
    await page.getByTestId("leeway").fill("0");
    assert.equal((await verdict(page)).code, "token_too_old");
    await page.getByTestId("max-age").fill("");
    await page.getByTestId("required-claims").fill("sub jti");
    assert.equal((await verdict(page)).code, "claim_missing");
    await page.getByTestId("required-claims").fill("sub");
    await page.getByTestId("audience").fill("elsewhere");
    assert.equal((await verdict(page)).code, "audience_mismatch");
    await page.getByText("Dangerous", { exact: true }).click();
    await page.getByTestId("skip-audience").check();
    assert.equal((await verdict(page)).state, "accepted");
  });

  test("is not said to have passed what a dangerous switch leaves out", async () => {
    const key = makeKey("ES256");
    const { exp, ...forever } = CLAIMS;
    await fill({ token: key.sign(forever), jwks: set(key.jwk) });
    await page.getByText("Dangerous", { exact: true }).click();
    await page.getByTestId("allow-missing-exp").check();
    assert.equal((await verdict(page)).state, "accepted");
    assert.equal((await checks(page)).expiry, "not-checked");
    assert.equal(await text("verdict-message"), "Accepted by a policy that takes tokens that never expire.");
    await page.getByTestId("token").fill(key.sign(CLAIMS));
    assert.equal((await verdict(page)).state, "accepted");
    assert.equal((await checks(page)).expiry, "pass");
    await page.getByTestId("allow-missing-exp").uncheck();
    await page.getByTestId("skip-issuer").check();
    assert.equal((await verdict(page)).state, "accepted");
    assert.equal(await text("verdict-message"), "Accepted by a policy that does not check the issuer.");
    const { issuer, ...others } = await checks(page);
    assert.equal(issuer, "not-checked");
    assert.deepEqual(new Set(Object.values(others)), new Set(["pass"]));
    assert.equal(await page.locator("#checks-summary").innerText(), "13 of 14 passed, 1 not checked");
    // Nothing says where the keys of an issuer that is not named are.
    assert.match(await text("snippet"), /^ {2}jwks,/m);
    await page.getByTestId("skip-issuer").uncheck();
    await verdict(page);
    assert.doesNotMatch(await text("snippet"), /jwks/);
  });

  test("with hostile claims is shown as inert text", async () => {
    page.on("dialog", () => assert.fail("a claim ran as a script"));
    const key = makeKey("ES256");
    const sub = `<img src=x onerror=alert(1)></pre><script>alert(2)</script>\u202e\u2066evil`;
    await fill({ token: key.sign({ ...CLAIMS, sub }), jwks: set(key.jwk) });
    assert.equal((await verdict(page)).state, "accepted");
    assert.equal((await contents()).claims.sub, sub);
    const shown = await text("claims");
    assert.ok(!shown.includes("\u202e") && shown.includes("\\u202e"), "bidirectional controls are escaped");
    assert.equal(await page.locator("[data-testid=claims] :is(img, script)").count(), 0);
  });
});

describe("what nobody should send", () => {
  test("a payload that is nested too deeply to show is judged, and not shown", async () => {
    const key = makeKey("ES256");
    const part = (payload) => Buffer.from(payload).toString("base64url");
    const nested = (depth) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
    const good = key.sign(CLAIMS);
    await fill({ token: good, jwks: set(key.jwk) });
    assert.equal((await verdict(page)).state, "accepted");
    for (const depth of [128, 5000]) {
      const [header, , signature] = good.split(".");
      await page.getByTestId("token").fill(`${header}.${part(`{"a":${nested(depth)}}`)}.${signature}`);
      assert.equal((await verdict(page)).code, "signature_invalid");
      assert.equal(await text("claims"), "nested too deeply to show");
      assert.equal(await page.getByTestId("claims").getAttribute("data-verified"), "false");
      await page.getByTestId("token").fill(`${header}.${part(`{"a":${nested(127)}}`)}.${signature}`);
      assert.equal((await verdict(page)).code, "signature_invalid");
      assert.match(await text("claims"), /^\{\n {2}"a": \[/);
    }
    await page.getByTestId("token").fill(`${good}~${part(`["salt","a",${nested(9000)}]`)}~`);
    await verdict(page);
    assert.equal(await text("disclosed"), "a\nnested too deeply to show");
  });

  test("more disclosures than the core reads are not shown", async () => {
    const key = makeKey("ES256");
    await fill({ token: key.sign(CLAIMS), jwks: set(key.jwk) });
    for (const [presentation, why] of [["~WzFd".repeat(257), /more than 256/], ["~".repeat(70_000), /larger than 65536 octets/]]) {
      await page.getByTestId("token").fill(`${key.sign(CLAIMS)}${presentation}~`);
      assert.equal((await verdict(page)).state, "rejected");
      assert.equal(await page.locator("[data-testid=disclosed] li").count(), 1);
      assert.match(await text("disclosed"), why);
    }
  });

  test("a failure of the page's own takes the old verdict away, and says so", async () => {
    await click("example");
    assert.equal((await verdict(page)).state, "accepted");
    await page.evaluate(() => (JSON.stringify = () => { throw new RangeError("too much"); }));
    await click("verify");
    assert.deepEqual(await verdict(page), { state: "error", code: "", check: "" });
    assert.match(await text("verdict-message"), /could not show this token/);
    assert.equal(await page.getByTestId("trust").isVisible(), false);
  });

  test("a page without WebCrypto says that it has no example", async () => {
    const bare = await browser.newPage();
    await bare.addInitScript(() => Object.defineProperty(Crypto.prototype, "subtle", { get: () => undefined }));
    await openPlayground(bare, server.origin);
    await bare.getByTestId("example").click();
    assert.deepEqual(await verdict(bare), { state: "error", code: "", check: "" });
    assert.match(await bare.getByTestId("verdict-message").innerText(), /WebCrypto/);
    await bare.close();
  });

  test("characters that nobody sees are escaped, and numbers that JavaScript rounded are marked", async () => {
    const key = makeKey("ES256");
    const unseen = "\u034f\u115f\u1160\u3164\uffa0\ufe0f\u180b\u2800\u00ad";
    const payload = Buffer.from(JSON.stringify({ ...CLAIMS, sub: unseen }).replace("{", '{"id":9007199254740993,"small":9007199254740991,')).toString("base64url");
    const [header, , signature] = key.sign(CLAIMS).split(".");
    await fill({ token: `${header}.${payload}.${signature}`, jwks: set(key.jwk) });
    const shown = await text("claims");
    for (const character of unseen) assert.ok(!shown.includes(character) && shown.includes(`\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`));
    assert.deepEqual(await page.locator("[data-testid=claims] [data-note=rounded]").allInnerTexts(), ["9007199254740992"]);
    await page.getByTestId("issuer").fill("https://a\u3164b.example");
    await verdict(page);
    assert.match(await text("snippet"), /a\\u3164b/);
  });
});

describe("a presentation of an SD-JWT", () => {
  test("shuts out a plain token where proof is asked for, unless the policy takes both; the link says which", async () => {
    const key = makeKey("ES256");
    await fill({ token: key.sign(CLAIMS), jwks: set(key.jwk) });
    await page.getByText("More demands").click();
    assert.equal(await page.getByTestId("allow-plain").isDisabled(), true);
    await page.getByTestId("skip-nonce").evaluate((input) => (input.checked = true));
    await page.getByTestId("key-binding").selectOption("where_bound");
    assert.equal((await verdict(page)).state, "accepted");
    assert.equal((await checks(page)).proof, "not-checked");
    await page.getByTestId("key-binding").selectOption("required");
    assert.equal((await verdict(page)).code, "type_mismatch");
    await page.getByTestId("allow-plain").check();
    assert.equal((await verdict(page)).state, "accepted");
    assert.match(await text("snippet"), /sdJwt: \{ keyBinding: "required", allowPlain: true \}/);
    await click("share");
    await page.getByTestId("share-note").getByText("never the token").waitFor();
    for (const [link, allowed] of [[page.url(), true], [page.url().replace("&allowPlain=true", ""), false]]) {
      const other = await browser.newPage();
      await other.goto(link);
      await verdict(other);
      assert.equal(await other.getByTestId("key-binding").inputValue(), "required");
      assert.equal(await other.getByTestId("allow-plain").isChecked(), allowed);
      await other.close();
    }
  });

  test("is accepted where the policy takes it, and shows what was disclosed and nothing else", async () => {
    await click("example-disclosures");
    assert.deepEqual(await verdict(page), { state: "accepted", code: "", check: "" });
    assert.deepEqual(await page.locator("[data-testid=disclosed] li").allInnerTexts(), ['given_name\n"Alice"', 'address\n{"country":"KR","locality":"Seoul"}']);
    assert.equal(await page.getByTestId("disclosed").getAttribute("data-verified"), "true");
    const { claims } = await contents();
    assert.equal(claims.given_name, "Alice");
    assert.equal(claims.birthdate, undefined);
    assert.match(await text("snippet"), /await verifier\.verify\(token, \{ nonce \}\);$/);
    await page.getByTestId("key-binding").selectOption("");
    assert.equal((await verdict(page)).state, "rejected");
    assert.match(await text("snippet"), /await verifier\.verify\(token\);$/);
    await page.getByTestId("key-binding").selectOption("required");
    assert.equal((await verdict(page)).code, "proof_required");
  });

  test("with a disclosure that is not the token's is refused, and what it says stays unverified", async () => {
    await click("example-disclosures");
    const token = await page.getByTestId("token").inputValue();
    const forged = Buffer.from(JSON.stringify(["c2FsdA", "role", "admin"])).toString("base64url");
    await page.getByTestId("token").fill(`${token}${forged}~`);
    assert.deepEqual(await verdict(page), { state: "rejected", code: "disclosure_invalid", check: "disclosures" });
    assert.equal(await page.getByTestId("disclosed").getAttribute("data-verified"), "false");
    assert.match(await text("disclosed"), /role/);
  });
});

describe("keys from the issuer", () => {
  let issuer;
  let answers;
  let asked;
  before(async () => {
    issuer = createServer((request, response) => {
      asked.push({ url: request.url, headers: request.headers });
      const [status, body] = answers[request.url] ?? [404, "{}"];
      response.writeHead(status, { "access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin", "content-type": "application/json" }).end(body);
    });
    await new Promise((resolve) => issuer.listen(0, "127.0.0.1", resolve));
  });
  after(() => issuer?.close().closeAllConnections());
  beforeEach(() => (asked = []));

  test("are asked for by the button alone, by the discovery document; the token is not in any request", async () => {
    const url = `http://127.0.0.1:${issuer.address().port}`;
    const key = makeKey("ES256");
    const token = key.sign({ ...CLAIMS, iss: url });
    answers = {
      "/.well-known/openid-configuration": [200, JSON.stringify({ issuer: url, jwks_uri: `${url}/keys` })],
      "/keys": [200, set(key.jwk)],
    };
    await fill({ token, jwks: set(makeKey("ES256", "another").jwk), issuer: url });
    assert.equal((await verdict(page)).code, "key_not_found");
    assert.deepEqual(asked, []);
    await click("fetch-keys");
    await page.getByTestId("fetch-note").getByText("its keys of now").waitFor();
    assert.deepEqual(await verdict(page), { state: "accepted", code: "", check: "" });
    assert.deepEqual(asked.map(({ url: path }) => path), ["/.well-known/openid-configuration", "/keys"]);
    await page.getByTestId("jwks").fill(set(makeKey("ES256").jwk));
    assert.match(await text("fetch-note"), /^Asks the policy’s issuer/);
    for (const part of token.split(".")) assert.ok(!JSON.stringify(asked).includes(part), "a part of the token left the page");
    assert.ok(asked.every(({ headers }) => headers.referer === undefined && headers.cookie === undefined));
  });

  test("that come after the JWK Set or the issuer was changed do not overwrite what was entered", async () => {
    const url = `http://127.0.0.1:${issuer.address().port}`;
    answers = {
      "/.well-known/openid-configuration": [200, JSON.stringify({ issuer: url, jwks_uri: `${url}/keys` })],
      "/keys": [200, set(makeKey("ES256").jwk)],
    };
    for (const [field, typed] of [["jwks", set(makeKey("ES256", "typed").jwk)], ["issuer", "https://other.example"]]) {
      await fill({ token: makeKey("ES256").sign(CLAIMS), jwks: "", issuer: url });
      const { promise: held, resolve: release } = Promise.withResolvers();
      await page.route(`${url}/keys`, async (route) => held.then(() => route.continue()));
      await click("fetch-keys");
      await page.getByTestId(field).fill(typed);
      release();
      await page.getByTestId("fetch-note").getByText("changed meanwhile").waitFor();
      assert.equal(await page.getByTestId(field).inputValue(), typed);
      assert.equal(await page.getByTestId("jwks").inputValue(), field === "jwks" ? typed : "");
      await page.unroute(`${url}/keys`);
    }
  });

  test("are not taken from a document of another issuer, and the page says so", async () => {
    const url = `http://127.0.0.1:${issuer.address().port}`;
    answers = { "/.well-known/openid-configuration": [200, JSON.stringify({ issuer: "https://evil.example", jwks_uri: `${url}/keys` })] };
    await page.getByTestId("issuer").fill(url);
    await click("fetch-keys");
    await page.getByTestId("fetch-note").getByText('of another issuer: "https://evil.example"').waitFor();
    for (const [name, note] of [["", "Name the issuer"], ["ftp://x", "no https URL"], ["http://login.example.com", "no https URL"], [`${url}/none`, "answers 404"]]) {
      await page.getByTestId("issuer").fill(name);
      await click("fetch-keys");
      await page.getByTestId("fetch-note").getByText(note).waitFor();
    }
    assert.equal(await page.getByTestId("jwks").inputValue(), "");
  });
});

describe("a JWK Set", () => {
  test("that is none names jwks_malformed", async () => {
    const key = makeKey("ES256");
    for (const jwks of ["<html>", "[]", `{"keys":{}}`, `{"keys":[],"keys":[]}`]) {
      await fill({ token: key.sign(CLAIMS), jwks });
      assert.equal((await verdict(page)).code, "jwks_malformed", jwks);
    }
  });

  test("without a usable key names key_not_found and why each key is skipped", async () => {
    const weak = makeKey("RS256", "weak", { modulusLength: 1024 });
    await fill({ token: weak.sign(CLAIMS), jwks: set(weak.jwk, { kty: "AKP", alg: "ML-DSA-44", pub: "AA" }), algorithms: ["RS256"] });
    assert.deepEqual(await verdict(page), { state: "rejected", code: "key_not_found", check: "key" });
    const reasons = await page.$$eval("[data-testid=skipped-keys] li", (items) => items.map((item) => item.dataset.reason));
    assert.deepEqual(reasons, ["modulus_size", "unknown_key_type"]);
    assert.match(await text("skipped-keys"), /^keys\[0\] not used: the modulus must have 2048 to 8192 bits$/m);
    assert.equal(await text("jwks-summary"), "0 of 2 keys usable");
  });

  test("lives on beside a broken sibling", async () => {
    const key = makeKey("ES256");
    await fill({ token: key.sign(CLAIMS), jwks: set({ kty: "oct", k: "c2VjcmV0" }, key.jwk) });
    assert.equal((await verdict(page)).state, "accepted");
    assert.equal(await text("jwks-summary"), "1 of 2 keys usable");
  });
});

describe("an impossible policy", () => {
  const MISTAKES = {
    "no algorithm": () => setAlgorithms([]),
    "no issuer": () => page.getByTestId("issuer").fill(""),
    "no audience": () => page.getByTestId("audience").fill(" "),
    "a leeway that is no number": () => page.getByTestId("leeway").fill("soon"),
    "a leeway above 300 s": () => page.getByTestId("leeway").fill("301"),
    "a clock that is no instant": () => page.getByTestId("now").fill("tomorrow"),
  };
  for (const [name, make] of Object.entries(MISTAKES)) {
    test(`${name} is the policy's fault, and no check is reached`, async () => {
      const key = makeKey("ES256");
      await fill({ token: key.sign(CLAIMS), jwks: set(key.jwk) });
      await make();
      assert.deepEqual(await verdict(page), { state: "error", code: "policy_invalid", check: "" });
      assert.deepEqual(new Set(Object.values(await checks(page))), new Set(["not-reached"]));
      assert.ok((await text("verdict-message")).length > 10);
    });
  }
});

describe("nothing leaves the page", () => {
  test("with the network off it accepts and refuses as before, and no request is tried", async () => {
    const requests = [];
    page.on("request", (request) => requests.push(request.url()));
    await page.context().setOffline(true);
    await click("example");
    assert.equal((await verdict(page)).state, "accepted");
    await click("tamper-signature");
    assert.equal((await verdict(page)).code, "signature_invalid");
    await page.getByTestId("jwks").fill("");
    assert.equal((await verdict(page)).state, "idle");
    await click("verify");
    await verdict(page);
    assert.deepEqual(requests, []);
  });

  test("nothing is stored, no other host is asked, and the page keeps its own content security policy", async () => {
    const fresh = await browser.newPage();
    const problems = [];
    const hosts = new Set();
    fresh.on("console", (message) => ["error", "warning"].includes(message.type()) && problems.push(message.text()));
    fresh.on("pageerror", (error) => problems.push(String(error)));
    fresh.on("request", (request) => hosts.add(new URL(request.url()).origin));
    await openPlayground(fresh, server.origin);
    await fresh.getByTestId("example").click();
    assert.equal((await verdict(fresh)).state, "accepted");
    assert.deepEqual([...hosts], [server.origin]);
    assert.deepEqual(problems, []);
    const kept = await fresh.evaluate(async () => ({
      local: localStorage.length,
      session: sessionStorage.length,
      cookies: document.cookie,
      databases: (await indexedDB.databases()).length,
      state: history.state,
    }));
    assert.deepEqual(kept, { local: 0, session: 0, cookies: "", databases: 0, state: null });
    const policy = await fresh.locator("meta[http-equiv=Content-Security-Policy]").getAttribute("content");
    assert.doesNotMatch(policy, /unsafe-inline|'unsafe-eval'/);
    // Only an issuer that the visitor names may be asked, for its keys; everything that runs or is shown is the page's own.
    for (const directive of policy.split("; ").filter((text) => !text.startsWith("connect-src"))) assert.doesNotMatch(directive, /https?:|\*/);
    await fresh.close();
  });

  test("the link carries policy and keys, never the token, and opens to the same form", async () => {
    const key = makeKey("ES384");
    const token = key.sign(CLAIMS);
    await fill({ token, jwks: set(key.jwk), algorithms: ["ES384", "EdDSA"] });
    await page.getByTestId("typ").fill("JWT");
    await page.getByText("Dangerous", { exact: true }).click();
    await page.getByTestId("allow-missing-exp").check();
    await click("share");
    await page.getByTestId("share-note").getByText("never the token").waitFor();
    const link = page.url();
    for (const part of [token, ...token.split(".")]) assert.ok(!decodeURIComponent(link).includes(part), "a part of the token is in the link");

    const other = await browser.newPage();
    await other.goto(link);
    await verdict(other);
    assert.equal(await other.getByTestId("token").inputValue(), "");
    assert.deepEqual(JSON.parse(await other.getByTestId("jwks").inputValue()), { keys: [key.jwk] });
    assert.equal(await other.getByTestId("issuer").inputValue(), ISSUER);
    assert.equal(await other.getByTestId("audience").inputValue(), AUDIENCE);
    assert.equal(await other.getByTestId("typ").inputValue(), "JWT");
    assert.equal(await other.getByTestId("now").inputValue(), String(NOW));
    assert.equal(await other.getByTestId("allow-missing-exp").isChecked(), true);
    assert.deepEqual(await other.$$eval("#algorithm-list input:checked", (inputs) => inputs.map((input) => input.value)), ["ES384", "EdDSA"]);
    await other.close();
  });

  test("a link leaves out private keys, and text that is no JWK Set", async () => {
    const key = makeKey("ES256");
    const token = key.sign(CLAIMS);
    const cases = [
      [JSON.stringify({ keys: [key.privateJwk] }), /private key/],
      [JSON.stringify({ keys: [{ kty: "oct", k: "c2VjcmV0" }] }), /private key/],
      [`{"keys":[${JSON.stringify(key.privateJwk)}],"keys":[${JSON.stringify(key.jwk)}]}`, /private key/],
      [`{"keys":[{"kty":"oct","\\u006b" :"c2VjcmV0","\\u006b":1}],"keys":[]}`, /private key/],
      [token, /not a JWK Set/],
    ];
    for (const [jwks, note] of cases) {
      await page.getByTestId("jwks").fill(jwks);
      await page.getByTestId("issuer").fill(token);
      await click("share");
      await page.getByTestId("share-note").getByText(note).waitFor();
      assert.ok(!page.url().includes("jwks="), page.url());
      assert.ok(!page.url().includes(token.split(".")[1]), page.url());
    }
  });

  test("a link leaves out a token in any spelling and any part of it, says so, and keeps keys that look like one", async () => {
    const key = makeKey("ES256");
    const token = key.sign(CLAIMS);
    const spaced = Buffer.from(JSON.stringify({ alg: "ES256" }, undefined, 2)).toString("base64url");
    const apart = Buffer.from(`{ "alg":"ES256"}`).toString("base64url");
    assert.match(spaced, /^ewog/);
    assert.match(apart, /^eyAi/);
    await page.getByTestId("token").fill(token);
    // A member that may look like anything ends with its key: what comes after it is looked at.
    const beside = (secret) => `{"keys":[{"kty":"OKP","x":"AA"},${JSON.stringify(secret)}]}`;
    const secrets = [`${spaced}.e30.AA`, `Bearer ${apart}.e30.AA`, `x${token.split(".")[2]}`];
    for (const [secret, jwks] of secrets.flatMap((secret) => [[secret, set({ ...key.jwk, kid: secret })], [secret, beside(secret)]])) {
      await page.getByTestId("jwks").fill(jwks);
      await page.getByTestId("audience").fill(secret);
      await click("share");
      await page.getByTestId("share-note").getByText("The policy’s audience stays out: it holds a token.").waitFor();
      assert.match(await text("share-note"), /The JWK Set stays out: it holds a token\./);
      assert.doesNotMatch(page.url(), /jwks=|audience=/);
    }
    await page.getByTestId("audience").fill("https://api.example.com/eyewitness-service");
    assert.match(await text("share-note"), /^The link carries/);
    await page.getByTestId("jwks").fill(set({ ...key.jwk, x: spaced, x5c: [apart] }));
    await click("share");
    await page.getByTestId("share-note").getByText("never the token").waitFor();
    assert.match(page.url(), /jwks=/);
    assert.match(page.url(), /eyewitness/);
  });

  test("a hostile link is text in fields, nothing more", async () => {
    page.on("dialog", () => assert.fail("the fragment ran as a script"));
    const hostile = `"><img src=x onerror=alert(1)>`;
    await page.goto("about:blank");
    await openPlayground(page, server.origin, `#${new URLSearchParams({ issuer: hostile, algorithms: `ES256,none,HS256`, jwks: hostile })}`);
    assert.equal(await page.getByTestId("issuer").inputValue(), hostile);
    assert.deepEqual(await page.$$eval("#algorithm-list input:checked", (inputs) => inputs.map((input) => input.value)), ["ES256"]);
    assert.equal(await page.locator("img").count(), 0);
  });
});

function click(testId) {
  return page.getByTestId(testId).click();
}

function text(testId) {
  return page.getByTestId(testId).innerText();
}

function set(...keys) {
  return JSON.stringify({ keys });
}

async function fill({ token, jwks, issuer = ISSUER, audience = AUDIENCE, algorithms = ["ES256"], now = String(NOW) }) {
  for (const [testId, value] of Object.entries({ token, jwks, issuer, audience, now })) await page.getByTestId(testId).fill(value);
  await setAlgorithms(algorithms);
  await click("verify");
  await verdict(page);
}

async function setAlgorithms(wanted) {
  for (const input of await page.locator("#algorithm-list input").all()) {
    await input.setChecked(wanted.includes(await input.getAttribute("value")));
  }
}

async function contents() {
  const header = page.getByTestId("header");
  return {
    header: JSON.parse(await header.textContent()),
    claims: JSON.parse(await page.getByTestId("claims").textContent()),
    verified: await header.getAttribute("data-verified"),
  };
}
