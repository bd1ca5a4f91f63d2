// The runner itself: how it reads lines, and what it makes of hosts that panic, hang, dawdle or differ. The hosts here are played,
// because no real one does any of that.
import assert from "node:assert/strict";
import { test } from "node:test";

import { checked } from "./divergences.mjs";
import { isBlank, judge, readLine, splitLines } from "./line.mjs";
import { expectation, fault, report } from "./report.mjs";
import { judgeAll } from "./session.mjs";

const bytes = (text) => Buffer.from(text);
const rules = { hangLimit: 100 };

/** A host that answers each line with `answer(line)`, a verdict or a promise of one; it counts how often it was started. */
function played(answer, { clock = true, chunk = { bytes: 1 << 20, lines: 16 } } = {}) {
  return {
    name: "played",
    chunk,
    started: 0,
    async start() {
      this.started += 1;
    },
    async judge(lines) {
      const verdicts = [];
      for (const line of splitLines(lines)) {
        const began = performance.now();
        const verdict = await answer(line.toString());
        if (verdict) verdicts.push(clock ? { ...verdict, ms: performance.now() - began } : verdict);
      }
      return verdicts;
    },
    async stop() {},
  };
}

const accept = (id) => ({ id, v: "accept", code: null });
const ids = (count) => Array.from({ length: count }, (_, index) => bytes(`l${index}`));

test("twelve thousand lines come back in order", async () => {
  const lines = ids(12_000);
  const verdicts = await judgeAll(played(accept), lines, rules);
  assert.deepEqual(verdicts.map(({ id }) => id), lines.map(String));
});

test("chunks are bounded by octets as well as by lines", async () => {
  const sizes = [];
  const host = played(accept, { chunk: { bytes: 1000, lines: 100 } });
  const judgeOne = host.judge;
  host.judge = (chunk) => {
    sizes.push(chunk.length);
    return judgeOne.call(host, chunk);
  };
  await judgeAll(host, [bytes("x".repeat(5000)), ...ids(600)], rules);
  assert.equal(sizes[0], 5001, "a line larger than a chunk goes alone");
  assert.ok(sizes.slice(1).every((size) => size <= 1000 + 100));
});

for (const clock of [true, false]) {
  const host = clock ? "with a clock" : "without a clock";
  test(`a panic costs its own line only, on a host ${host}`, async () => {
    const panics = played((id) => (id === "l37" ? Promise.reject(new Error("unreachable executed")) : accept(id)), { clock });
    const verdicts = await judgeAll(panics, ids(100), rules);
    assert.deepEqual(verdicts.map(({ v }, index) => (v === "accept" ? undefined : index)).filter(Boolean), [37]);
    assert.equal(verdicts[37].code, "unreachable executed");
    assert.ok(panics.started > 1, "the host was started afresh");
  });

  test(`a hang costs its own line only, on a host ${host}`, async () => {
    const hangs = played((id) => (id === "l1" ? new Promise(() => {}) : accept(id)), { clock });
    const verdicts = await judgeAll(hangs, ids(4), rules);
    assert.deepEqual(verdicts.map(({ v }) => v), ["accept", "error", "accept", "accept"]);
    assert.match(verdicts[1].code, /no answer in/);
  });

  test(`a line without a verdict is found, on a host ${host}`, async () => {
    const verdicts = await judgeAll(played((id) => (id === "l5" ? undefined : accept(id)), { clock }), ids(12), rules);
    assert.deepEqual(verdicts.map(({ v }, index) => (v === "accept" ? undefined : index)).filter(Boolean), [5]);
    assert.match(verdicts[5].code, /0 verdicts for 1 lines/);
  });

  test(`a line that is always slow is an error, on a host ${host}`, async () => {
    const slow = (id) => (id === "l2" ? new Promise((resolve) => setTimeout(resolve, 300, accept(id))) : accept(id));
    const verdicts = await judgeAll(played(slow, { clock }), ids(4), { hangLimit: 2000 });
    assert.deepEqual(verdicts.map(({ v }) => v), ["accept", "accept", "error", "accept"]);
    assert.match(verdicts[2].code, /took \d+ ms, at most 250 ms/);
  });

  test(`a line that was slow once is none, on a host ${host}`, async () => {
    let first = true;
    const hiccup = (id) => {
      if (id !== "l2" || !first) return accept(id);
      first = false;
      return new Promise((resolve) => setTimeout(resolve, 300, accept(id)));
    };
    const verdicts = await judgeAll(played(hiccup, { clock }), ids(4), { hangLimit: 2000 });
    assert.ok(verdicts.every(({ v }) => v === "accept"));
  });
}

const TOKEN = `{"id":"a","token":"t","jwks":{"keys":[{"kid":"1","kid":"2"}]},"alg_allow":["ES256"],"now":1750000000.5,"policy":{"iss":"i","aud":null,"leeway":0,"require_exp":false,"typ":null,"max_age":5}}`;

test("jwks stays the text that it is", () => {
  const { options } = readLine(bytes(TOKEN));
  assert.equal(options.jwks, `{"keys":[{"kid":"1","kid":"2"}]}`);
  const { clock, jwks, ...rest } = options;
  assert.equal(clock(), 1750000000.5);
  assert.deepEqual(rest, { algorithms: ["ES256"], issuer: "i", leeway: 0, maxAge: 5, dangerous: { skipAudience: true, allowMissingExp: true } });
});

test("text of members is found whatever is in it", () => {
  const jwks = ` {"a\\"]}" : [ "}{\\\\" , {"b":[]} , -1.5e3 , true ] }`.trim();
  for (const spaced of [`{"x":[{"]":"}"}], "id" : "a" ,"token":"t","jwks":${jwks},"now":1}`, `\t{ "jwks" : ${jwks} , "now":1 , "token":"t","id":"a" } `]) {
    assert.equal(readLine(bytes(spaced)).options.jwks, jwks);
  }
  assert.equal(readLine(bytes(`{"id":"a","token":"t","now":1,"jwks":null }`)).options.jwks, "null");
  assert.equal(readLine(bytes(`{"id":"a","token":"t","now":1,"jwks":-12}`)).options.jwks, "-12");
});

test("blank lines are no lines", () => {
  assert.ok(isBlank(bytes(" \t\r")));
  assert.deepEqual(splitLines(bytes("a\n\n \nb\r\nc")).map(String), ["a", "b\r", "c"]);
  assert.deepEqual(splitLines(bytes("")), []);
});

test("what is no verdict of the package is an error, never a rejection", async () => {
  class VerifyError extends Error {}
  class ConfigurationError extends Error {}
  const throws = (error) => ({ VerifyError, ConfigurationError, createVerifier: () => ({ verify: () => Promise.reject(error) }) });
  assert.equal((await judge(throws(new WebAssembly.RuntimeError("unreachable")), bytes(TOKEN))).v, "error");
  assert.equal((await judge(throws(new TypeError("x")), bytes(TOKEN))).v, "error");
  assert.deepEqual(await judge(throws(Object.assign(new VerifyError(), { code: "c" })), bytes(TOKEN)), { id: "a", v: "reject", code: "c" });
});

test("faults", () => {
  const wants = { id: "a", expect: "reject", code: "token_expired" };
  assert.equal(fault(wants, { id: "a", v: "reject", code: "token_expired" }), undefined);
  assert.match(fault(wants, { id: "a", v: "reject", code: "claim_invalid" }), /code claim_invalid, expected token_expired/);
  assert.match(fault(wants, accept("a")), /accept, expected reject/);
  assert.match(fault({ id: "a", expect: "accept" }, { id: "a", v: "reject", code: "x" }), /reject \(x\), expected accept/);
  assert.match(fault({ id: "a", expect: "any" }, accept("b")), /id is "b"/);
  assert.match(fault({ id: "a", expect: "any" }, { id: "a", v: "accept", code: "x" }), /accept with code x/);
  assert.match(fault({ id: "a", expect: "reject" }, { id: "a", v: "reject", code: null }), /reject with code null/);
  assert.equal(fault({ id: "a", expect: "any" }, accept("a")), undefined);
  assert.equal(fault({ id: "a", expect: "any" }, { id: null, v: "error", code: "panicked" }), "panicked");
  assert.equal(expectation(bytes("junk")).code, "line_malformed");
  assert.deepEqual(expectation(bytes(`${TOKEN.slice(0, -1)},"expect":"reject","code":"c"}`)), { id: "a", expect: "reject", code: "c" });
});

test("hosts that differ are a failure even where neither is wrong", () => {
  const line = bytes(`${TOKEN.slice(0, -1)},"expect":"reject"}`);
  const printed = [];
  const verdicts = (code) => [{ id: "a", v: "reject", code }];
  const counts = report([line], new Map([["native", verdicts("x")], ["node", verdicts("y")]]), [], (text) => printed.push(text));
  assert.deepEqual(counts, { passed: 2, failed: 1 });
  assert.ok(printed.some((text) => text === "✗ a: the hosts differ: native x, node y"));
});

test("a host that says something else when it is warm is an error", async () => {
  const asked = new Map();
  const forgetful = played((id) => {
    asked.set(id, (asked.get(id) ?? 0) + 1);
    return id === "l3" && asked.get(id) === 2 ? { id, v: "reject", code: "signature_invalid" } : accept(id);
  });
  const verdicts = await judgeAll(forgetful, ids(6), { ...rules, mode: { warm: true } });
  assert.equal(forgetful.started, 1, "both rounds are asked of one host");
  assert.deepEqual(verdicts.map(({ v }) => v), ["accept", "accept", "accept", "error", "accept", "accept"]);
  assert.equal(verdicts[3].code, "accept at first, signature_invalid when asked again");
});

test("kept verifiers are found by their options, and are not kept without bound", async () => {
  let made = 0;
  const edgeseal = { VerifyError: class extends Error {}, ConfigurationError: class extends Error {}, createVerifier: () => ((made += 1), { verify: async () => ({ header: { alg: "ES256" } }) }) };
  const kept = new Map();
  const line = (now) => bytes(`{"id":"a","token":"t","jwks":{},"now":${now}}`);
  for (const now of [1, 1, 2, 1, 2]) assert.equal((await judge(edgeseal, line(now), { kept })).v, "accept");
  assert.equal(made, 2);
  for (let now = 0; now < 1000; now += 1) await judge(edgeseal, line(now), { kept });
  assert.ok(kept.size <= 256);
});

test("a listed divergence is no fault, an unlisted one is, and so is one that is listed in vain", () => {
  const line = bytes(`${TOKEN.slice(0, -1)},"expect":"reject"}`);
  const verdicts = (code) => [{ id: "a", v: code ? "reject" : "accept", code }];
  const row = (on, code) => ({ id: "a", on, code, reason: "why" });
  const outcome = (byHost, rows) => {
    const printed = [];
    const { failed } = report([line], new Map(Object.entries(byHost).map(([host, code]) => [host, verdicts(code)])), checked(rows), (text) => printed.push(text));
    return [failed, printed.filter((text) => text.startsWith("✗")).join("\n")];
  };
  assert.deepEqual(outcome({ native: "x", "workerd, webcrypto": "y" }, [row("workerd, webcrypto", "y")]), [0, ""]);
  assert.deepEqual(outcome({ native: "x", node: null }, [row("node", null)]), [0, ""]);
  assert.match(outcome({ native: "x", node: "y", workerd: "y" }, [row("node", "y")])[1], /the hosts differ: native x, node y, workerd y/);
  assert.match(outcome({ native: "x", node: "z" }, [row("node", "y")])[1], /lists code y, which did not come/);
  assert.match(outcome({ native: "x", node: "x" }, [row("node", "x")])[1], /which did not come/);
  assert.deepEqual(outcome({ native: "x" }, [row("chromium", "y")]), [0, ""], "a host that was not asked");
  for (const wrong of [{}, [{}], [{ ...row("node", "y"), reason: " " }], [row("node", "y"), row("node", "z")], [{ ...row("node", "y"), x: 1 }]]) {
    assert.throws(() => checked(wrong), /divergences\.json/);
  }
});

test("settings inside sd_jwt have the package's names, and what has none never reaches it", () => {
  const policy = `{"sd_jwt":{"key_binding":"required","max_age":5},"nonce":"n","skip_nonce":true}`;
  const line = readLine(bytes(`{"id":"a","token":"t","jwks":{},"alg_allow":[],"now":1,"policy":${policy}}`));
  assert.equal(line.nonce, "n");
  assert.deepEqual(line.options.sdJwt, { keyBinding: "required", maxAge: 5 });
  assert.equal(line.options.dangerous.skipNonce, true);
  const refused = (policy) =>
    assert.throws(() => readLine(bytes(`{"id":"a","token":"t","jwks":{},"now":1,"policy":${policy}}`)), { id: "a", code: "policy_invalid" }, policy);
  for (const policy of [`{"nonce":1}`, `{"leeway":-0}`, `{"maxAge":5}`, `{"clock":5}`, `{"__proto__":{}}`]) refused(policy);
  for (const inside of [`"x_y":1`, `"x_y":null`, `"keyBinding":"required"`, `"max_age":5.0`, `"max_age":-0`, `"max_age":5,"max_age":5`]) {
    refused(`{"sd_jwt":{"key_binding":"required",${inside}}}`);
  }
});
