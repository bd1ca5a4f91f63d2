// What the console's pages decide without a page: the dictionaries, the timeline, what needs attention, policies. The
// sources are TypeScript, which Node reads by leaving its types away.
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const source = fileURLToPath(new URL("../console/src/", import.meta.url));
const { en } = await import("../console/src/i18n/en.ts");
const { ko } = await import("../console/src/i18n/ko.ts");
const { slotsOf, laneOf, windowOf, ticksOf, share } = await import("../console/src/timeline/model.ts");
const { attention } = await import("../console/src/attention.ts");
const { standingOf } = await import("../console/src/agents/standing.ts");
const { check, draftOf, seconds, spanText, EMPTY } = await import("../console/src/agents/policy.ts");
const filters = await import("../console/src/audit/filters.ts");
const profile = await import("../console/src/profiles/settings.ts");
const { ApiProblem, asProblem, received } = await import("../console/src/api/problem.ts");
const { phrase } = await import("../console/src/i18n/ledger.ts");
const { earliest, stepsFrom, stepsOf, turnsOf } = await import("../console/src/keys/state.ts");

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = Date.parse("2026-11-25T12:00:00Z");
const at = (days) => new Date(NOW + days * DAY).toISOString();

function key(state, moments = {}, more = {}) {
  const none = ["published_at", "activated_at", "suspended_at", "demoted_at", "retired_at", "destroy_at", "destroyed_at", "compromised_at", "not_after", "can_sign_from", "until", "rotation"];
  return {
    kid: `${state}-${Math.random()}`, purpose: "token", issuer: "", profile: "default", agent: null, label: null, alg: "ES256", key: "P-256", origin: "generated", state,
    cka_id: String(Math.random()), jwk: null, max_lifetime: 3_600, created_at: at(-100), ...Object.fromEntries(none.map((name) => [name, null])),
    ...Object.fromEntries(Object.entries(moments).map(([name, days]) => [name, at(days)])), ...more,
  };
}

const kind = (name, kid, more = {}) => ({ name, kid, algorithm: "ES256", issuer_name: "", ...more });

describe("dictionaries", () => {
  test("both have the same keys, in order, and nothing is empty", () => {
    assert.deepEqual(Object.keys(ko), Object.keys(en));
    assert.deepEqual(Object.keys(en), Object.keys(en).toSorted((a, b) => (a < b ? -1 : 1)));
    for (const [language, texts] of Object.entries({ en, ko })) for (const [name, text] of Object.entries(texts)) assert.ok(text.trim(), `${language}: ${name}`);
  });

  test("both fill in the same names", () => {
    const names = (text) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();
    // English says "One thing"; there is no number to fill in.
    const excepted = new Set(["overview.attention.one"]);
    for (const name of Object.keys(en)) if (!excepted.has(name)) assert.deepEqual(names(ko[name]), names(en[name]), name);
  });

  test("Korean is Korean: nothing was forgotten in English", () => {
    const same = Object.keys(en).filter((name) => en[name] === ko[name] && /[a-z]{4}/.test(en[name].replace(/\{\w+\}/g, "")));
    assert.deepEqual(same, []);
  });

  test("every text is used by some page", async () => {
    const files = (await readdir(source, { recursive: true })).filter((name) => /\.tsx?$/.test(name) && !/i18n\/(en|ko)\.ts$/.test(name));
    const code = (await Promise.all(files.map((name) => readFile(`${source}${name}`, "utf8")))).join("\n");
    // Groups whose names are put together: words of the signer, plurals, what stands in tables of steps and acts.
    const groups = ["state", "role", "role_hint", "purpose", "origin", "theme", "span", "mend", "mode_hint", "problem", "breaker", "agent_origin", "edge_state", "revocation", "object", "attention", "steps", "users", "ledger"];
    const unused = Object.keys(en).filter((name) => !code.includes(`"${name}"`) && !groups.includes(name.split(".")[0]) && !/\.(one|other)$/.test(name));
    assert.deepEqual(unused, []);
    for (const name of ["state", "role"]) assert.ok(code.includes(`word("${name}"`), name);
  });
});

describe("the ledger's phrases", () => {
  test("are the signer's own, all of them", async () => {
    const rust = await readFile(new URL("../../signer-native/src/audit/ledger.rs", import.meta.url), "utf8");
    const code = rust.slice(rust.indexOf("\nfn describe("), rust.indexOf("/// The ledger as CSV"));
    const holes = (text) => text.replace(/\{[^}]*\}/g, "{}");
    // What has no two words is put together of names.
    const theirs = [...code.matchAll(/"([^"\n]*)"/g)].map(([, text]) => holes(text)).filter((text) => /[a-z}] [a-z{]/.test(text));
    const ours = Object.keys(en).filter((name) => name.startsWith("ledger.")).map((name) => holes(en[name]));
    assert.deepEqual([...new Set(ours)].sort(), [...new Set(theirs)].sort());
  });

  test("are said in the page's language, with what stands in them; anything else stays as it is", () => {
    const t = (name, values = {}) => ko[name].replace(/\{(\w+)\}/g, (_, hole) => values[hole]);
    assert.equal(phrase("signs tokens", t), ko["ledger.signs_tokens"]);
    assert.equal(phrase("profile web of issuer https://id.example", t), "발급자 https://id.example의 프로필 web");
    const storage = phrase('token "a (b)" of SoftHSM 2.6+ (/usr/lib/x.so); others may have a copy', t);
    assert.equal(storage, `SoftHSM 2.6+의 토큰 "a (b)" (/usr/lib/x.so); ${ko["ledger.kept_copies"]}`);
    for (const text of ["", "admin:alice", "it signs tokens"]) assert.equal(phrase(text, t), text);
  });
});

describe("timeline", () => {
  test("a key's stretches follow each other without a hole, and the future is planned", () => {
    const active = key("active", { published_at: -95, activated_at: -80, rotation: 10 });
    const { segments } = laneOf(active, NOW, undefined);
    assert.deepEqual(segments.map(({ tone, planned }) => `${tone}${planned ? " planned" : ""}`), ["published", "active", "active planned"]);
    for (const [index, segment] of segments.entries()) if (index) assert.equal(segment.from, segments[index - 1].to);
    assert.equal(segments[2].to, NOW + 10 * DAY);
  });

  test("every state ends where its key's moments say", () => {
    const tones = (one) => laneOf(one, NOW, NOW + DAY).segments.map(({ tone, planned }) => `${tone}${planned ? "+" : ""}`).join(" ");
    assert.equal(tones(key("published", { published_at: -1 })), "published published+");
    assert.equal(tones(key("retiring", { published_at: -9, activated_at: -8, demoted_at: -1, until: 1 })), "published active retiring retiring+");
    assert.equal(tones(key("retired", { published_at: -9, activated_at: -8, demoted_at: -2, retired_at: -1 })), "published active retiring retired");
    assert.equal(tones(key("compromised", { published_at: -9, activated_at: -8, compromised_at: -1 })), "published active compromised");
    assert.equal(tones(key("suspended", { published_at: -9, activated_at: -8, suspended_at: -1 })), "published active suspended");
    assert.equal(tones(key("destroy_scheduled", { published_at: -9, activated_at: -8, demoted_at: -3, retired_at: -2, destroy_at: 6 })), "published active retiring retired destroy_scheduled+");
    const destroyed = laneOf(key("destroyed", { published_at: -9, activated_at: -8, demoted_at: -5, retired_at: -4, destroyed_at: -1 }), NOW, undefined);
    assert.equal(destroyed.end, NOW - DAY);
    assert.equal(destroyed.segments.at(-1).to, NOW - DAY);
  });

  test("slots hold the keys of one purpose, profile and agent, newest first; what was never made is left out", () => {
    const keys = [key("active", {}, { created_at: at(-9) }), key("published", {}, { created_at: at(-1) }), key("failed"), key("active", {}, { purpose: "audit", profile: "" }), key("active", {}, { agent: "orders" })];
    const slots = slotsOf(keys, NOW);
    assert.deepEqual(slots.map(({ purpose, agent, lanes }) => [purpose, agent, lanes.length]), [["token", null, 2], ["token", "orders", 1], ["audit", null, 1]]);
    assert.equal(slots[0].lanes[0].key.state, "published");
  });

  test("the window holds everything, now included, and has a handful of ticks", () => {
    const keys = [key("active", { published_at: -400, activated_at: -300, rotation: 30 }), key("published", { published_at: 0 })];
    for (const span of ["fit", "day", "month", "year"]) {
      const window = windowOf(slotsOf(keys, NOW), NOW, span);
      assert.ok(share(window, NOW) > 0.05 && share(window, NOW) < 0.95, span);
      const { at: ticks } = ticksOf(window, 7);
      assert.ok(ticks.length >= 2 && ticks.length <= 8, `${span}: ${ticks.length}`);
    }
    const fit = windowOf(slotsOf(keys, NOW), NOW, "fit");
    assert.ok(fit.from < NOW - 400 * DAY && fit.to > NOW + 30 * DAY);
  });
});

describe("attention", () => {
  const known = { me: "alice", keys: [], approvals: [], profiles: [], activity: undefined, edges: [], audit: undefined, recoveryCodesLeft: 10, now: NOW };
  const kinds = (more) => attention({ ...known, ...more }).map(({ id }) => id.split(":")[0]);

  test("nothing is said where all is well", () => {
    assert.deepEqual(kinds({ profiles: [kind("default", "kid")], keys: [key("active", { rotation: 60 }), key("published")] }), []);
  });

  test("each trouble is found, the gravest first, and every text is there", () => {
    const items = attention({
      ...known,
      profiles: [kind("default", null), kind("partners", "kid")],
      keys: [key("suspended", { suspended_at: -1 }, { agent: "orders" }), key("compromised", { compromised_at: -1 }), key("active", { rotation: 3 }, { profile: "partners" }), key("failed", {}, { created_at: at(-0.1) })],
      approvals: [{ proposal: "p", kid: "k", proposer: "admin:bob", approve_until: at(3), detail: {} }, { proposal: "q", kid: "k", proposer: "admin:alice", approve_until: at(3), detail: {} }],
      activity: { ready: false, not_ready: "why", hsm: { breaker: "open", quarantined: 2 } },
      edges: [{ id: "e", name: "eu", state: "pending", trouble: "answered 502" }, { id: "f", name: "us", state: "pending", trouble: null }],
      audit: { rows: 9, rows_after_last_checkpoint: 3, last_checkpoint_at: at(-1) },
      recoveryCodesLeft: 1,
    });
    const found = new Set(items.map(({ id }) => id.split(":")[0]));
    assert.deepEqual(found, new Set(["nobody-signs", "not-ready", "breaker", "audit", "compromised", "suspended", "failed", "quarantined", "edge", "proposal", "no-standby", "own-proposal", "codes"]));
    const ranks = items.map(({ tone }) => ["bad", "warn", "info"].indexOf(tone));
    assert.deepEqual(ranks, ranks.toSorted());
    for (const { title, detail } of items) for (const name of [title, detail]) assert.ok(name in en, name);
  });

  test("a checkpoint that is late is overdue, and no word on the chain; none at all is so once the signer has run for a while", () => {
    const says = (audit, started = -1) => attention({ ...known, audit: { rows: 9, rows_after_last_checkpoint: 3, last_checkpoint_at: null, ...audit }, activity: { started_at: at(started), ready: true, hsm: { breaker: "closed", quarantined: 0 } } }).map(({ tone, title, detail }) => [tone, title, detail]);
    assert.deepEqual(says({ last_checkpoint_at: at(-0.1) }), [["warn", "attention.audit.title", "attention.audit.late"]]);
    assert.deepEqual(says({ last_checkpoint_at: at(-0.1), rows_after_last_checkpoint: 0 }), []);
    assert.deepEqual(says({ last_checkpoint_at: at(-0.05) }), []);
    assert.deepEqual(says({}), [["warn", "attention.audit.title", "attention.audit.none"]]);
    assert.deepEqual(says({}, -0.01), []);
    assert.deepEqual(says({ rows: 0 }), []);
    for (const name of ["title", "late", "none"]) assert.ok(`attention.audit.${name}` in en);
  });

  test("one person is one, by whichever way they came", () => {
    const proposal = (proposer) => attention({ ...known, approvals: [{ proposal: "p", kid: "k", proposer, approve_until: at(3), detail: {} }] }).map(({ id, moments }) => [id, Object.keys(moments)]);
    for (const proposer of ["admin:alice", "local:alice"]) assert.deepEqual(proposal(proposer), [["own-proposal:p", ["until"]]]);
    assert.deepEqual(proposal("local:bob"), [["proposal:p", ["when"]]]);
  });

  test("a compromised key is of no concern once it is destroyed", () => {
    assert.deepEqual(kinds({ keys: [key("compromised", { compromised_at: -1 })] }), ["compromised"]);
    assert.deepEqual(kinds({ keys: [key("compromised", { destroyed_at: -2, compromised_at: -1 })] }), []);
  });

  test("nobody signs where the signer says so, whatever is active; only a standby that fits can take over", () => {
    const says = (...keys) => attention({ ...known, profiles: [kind("default", null)], keys }).filter(({ id }) => id === "nobody-signs:default").map(({ detail, moments }) => [detail, moments]);
    const none = [["attention.nobody_signs.none", {}]];
    assert.deepEqual(says(key("active", {}, { alg: "RS256" })), none);
    assert.deepEqual(says(key("published", { can_sign_from: 1 }, { alg: "RS256" })), none);
    assert.deepEqual(says(key("published", { can_sign_from: 1 }, { issuer: "eu" })), none);
    assert.deepEqual(says(key("published", { can_sign_from: 2 }), key("published", { can_sign_from: 1 })), [["attention.nobody_signs.standby", { when: at(1) }]]);
    assert.deepEqual(says(key("published", { can_sign_from: 1 }), key("published", { can_sign_from: -5 })), [["attention.nobody_signs.now", {}]]);
  });

  test("a suspended key is told of once where nothing signs for want of it, and by itself otherwise", () => {
    const suspended = key("suspended", { suspended_at: -1 });
    const says = (...keys) => attention({ ...known, profiles: [kind("default", null)], keys }).map(({ detail, href }) => [detail, href]);
    const page = `/keys/${suspended.kid}`;
    assert.deepEqual(says(suspended), [["attention.nobody_signs.suspended", page]]);
    assert.deepEqual(says(suspended, key("published", { can_sign_from: -5 })), [["attention.nobody_signs.now", "/keys"], ["attention.suspended.detail", page]]);
    assert.deepEqual(says({ ...suspended, agent: "orders" }).map(([detail]) => detail), ["attention.nobody_signs.none", "attention.suspended.detail"]);
    assert.ok("attention.nobody_signs.suspended" in en);
  });

  test("a standby is a successor only for its own slot, and only if it fits its profile", () => {
    assert.deepEqual(kinds({ profiles: [kind("default", "kid")], keys: [key("active", { rotation: 3 }), key("published", {}, { alg: "RS256" })] }), ["no-standby"]);
    assert.deepEqual(kinds({ profiles: [kind("default", "kid")], keys: [key("active", { rotation: 3 }), key("published")] }), []);
    assert.deepEqual(kinds({ profiles: [kind("default", "kid")], keys: [key("active", { rotation: 3 }), key("published", {}, { agent: "orders" })] }), ["no-standby"]);
  });
});

test("an agent of the configuration that was revoked may not ask until it has enrolled", () => {
  const agent = { origin: "configuration", must_enrol: false, revoked_at: null, invited_until: null, certificates: [] };
  const standing = (more) => standingOf({ ...agent, ...more }, NOW);
  const certificate = (days, revoked = null) => ({ not_after: at(days), revoked_at: revoked });
  assert.equal(standing({}), "may_ask");
  assert.equal(standing({ revoked_at: at(-1) }), "revoked");
  assert.equal(standing({ must_enrol: true }), "must_enrol");
  assert.equal(standing({ must_enrol: true, invited_until: at(1) }), "invited");
  assert.equal(standing({ must_enrol: true, certificates: [certificate(1, at(-1))] }), "must_enrol");
  assert.equal(standing({ certificates: [certificate(1)] }), "may_ask");
  assert.deepEqual([standing({ origin: "store" }), standing({ origin: "store", invited_until: at(1) }), standing({ origin: "store", certificates: [certificate(-1)] })], ["waits", "invited", "expired"]);
  for (const name of ["revoked", "may_ask", "invited", "must_enrol", "expired", "waits"]) assert.ok(`agents.${name}` in en);
});

describe("policies", () => {
  const profiles = [{ name: "default", max_lifetime: 3_600, audiences: ["https://a.example", "https://b.example"] }, { name: "open", max_lifetime: 600, audiences: ["*"] }];
  const wrong = (more) => Object.keys(check({ ...EMPTY, profiles: ["default"], ...more }, profiles).wrongs);

  test("a good one becomes what the signer takes, and back", () => {
    const draft = { profiles: ["default"], audiences: "https://a.example\n", maxLifetime: "10m", required: "sub\n\n scope ", forbidden: "admin", rate: "50" };
    const { policy, wrongs } = check(draft, profiles);
    assert.deepEqual(wrongs, {});
    assert.deepEqual(policy, { profiles: ["default"], audiences: ["https://a.example"], max_lifetime: 600, required_claims: ["sub", "scope"], forbidden_claims: ["admin"], rate: 50 });
    assert.deepEqual(check(draftOf(policy), profiles).policy, policy);
  });

  test("each mistake is named at its field", () => {
    assert.deepEqual(wrong({}), []);
    assert.deepEqual(wrong({ profiles: [] }), ["profiles"]);
    for (const text of ["ten minutes", "0", "-1", "1w", "1.5h", "2h"]) assert.deepEqual(wrong({ maxLifetime: text }), ["maxLifetime"], text);
    for (const text of ["0", "-1", "1.5", "many", "5000000000"]) assert.deepEqual(wrong({ rate: text }), ["rate"], text);
    assert.deepEqual(wrong({ required: "exp" }), ["required"]);
    assert.deepEqual(wrong({ forbidden: "iss" }), ["forbidden"]);
    assert.deepEqual(wrong({ required: "sub", forbidden: "sub" }), ["forbidden"]);
  });

  test("audiences and claims with commas and spaces stay what they are", () => {
    const policy = { profiles: ["default"], audiences: ["https://a.example/?x=1,2", "the billing service"], required_claims: ["https://a.example/c,d", "job title"], forbidden_claims: ["x, y"] };
    assert.deepEqual(check(draftOf(policy), profiles).policy, policy);
    const settings = { algorithm: "ES256", audiences: policy.audiences, modes: ["claims"] };
    assert.deepEqual(profile.check(profile.draftOf({ name: "web", settings })).settings, settings);
  });

  test("spans are read as the signer reads them, and written shortest", () => {
    assert.deepEqual(["90", "90s", "15m", "1h", "2d", "", "m", "1 h"].map(seconds), [90, 90, 900, 3_600, 172_800, null, null, null]);
    assert.deepEqual([90, 600, 3_600, 86_400, 90_000].map(spanText), ["90s", "10m", "1h", "1d", "25h"]);
  });
});

describe("profiles", () => {
  const wrong = (more, taken) => Object.keys(profile.check({ ...profile.EMPTY, name: "web", audiences: "https://a.example", ...more }, taken).wrongs);

  test("a good one becomes what the signer takes, and back", () => {
    const draft = { ...profile.EMPTY, name: "web", algorithm: "PS256", rsaBits: "3072", issuer: "eu", audiences: "https://a.example\nhttps://b.example", maxLifetime: "600", defaultLifetime: "2m", modes: ["digest", "claims"], typ: "at+jwt", maxSession: "1d", rotateAfter: "30d", publishAhead: "2h" };
    const { settings, wrongs } = profile.check(draft);
    assert.deepEqual(wrongs, {});
    assert.deepEqual(settings, { algorithm: "PS256", rsa_bits: 3072, issuer: "eu", audiences: ["https://a.example", "https://b.example"], max_lifetime: 600, default_lifetime: 120, modes: ["claims", "digest"], typ: "at+jwt", max_session: 86_400, rotate_after: 2_592_000, publish_ahead: 7_200 });
    assert.deepEqual(profile.check(profile.draftOf({ name: "web", settings })).settings, settings);
    assert.deepEqual(profile.check({ ...profile.EMPTY, name: "web", audiences: "a" }).settings, { algorithm: "ES256", audiences: ["a"], modes: ["claims"] });
  });

  test("each mistake is named at its field", () => {
    assert.deepEqual(wrong({}), []);
    for (const name of ["", "W", "a b", "x".repeat(65)]) assert.deepEqual(wrong({ name }), ["name"], name);
    assert.deepEqual(wrong({}, ["web"]), ["name"]);
    assert.deepEqual(wrong({ audiences: " \n " }), ["audiences"]);
    for (const text of ["0", "2d", "soon"]) assert.deepEqual(wrong({ maxLifetime: text }), ["maxLifetime"], text);
    assert.deepEqual(wrong({ defaultLifetime: "2h" }), ["defaultLifetime"]);
    for (const text of ["30m", "32d"]) assert.deepEqual(wrong({ maxSession: text }), ["maxSession"], text);
    for (const typ of ["a b", "at+jwt;x=1", "a/b/c", "/"]) assert.deepEqual(wrong({ typ }), ["typ"], typ);
    assert.deepEqual(wrong({ modes: [] }), ["modes"]);
    for (const algorithm of ["EdDSA", "Ed25519"]) assert.deepEqual(wrong({ algorithm, modes: ["digest"] }), ["modes"]);
  });

  test("another algorithm or issuer stops its signing, other bits do not", () => {
    const settings = { algorithm: "RS256", rsa_bits: 2048, audiences: ["a"] };
    const change = (more, before = settings) => profile.changeOf({ ...profile.draftOf({ name: "web", settings: before }), ...more }, { name: "web", settings: before });
    assert.equal(change({ maxLifetime: "5m", audiences: "b" }), undefined);
    assert.equal(change({ rsaBits: "4096" }), "bits");
    assert.equal(change({ algorithm: "PS256" }), "kind");
    assert.equal(change({ issuer: "eu" }), "kind");
    assert.equal(change({ issuer: "" }, { ...settings, issuer: "eu" }), "kind");
    // Bits of no RSA key mean nothing.
    assert.equal(change({ rsaBits: "4096" }, { algorithm: "ES256", audiences: ["a"] }), undefined);
  });

  test("how long a new key waits is its issuer's delay, or the profile's own where that is longer", () => {
    const issuers = [{ name: "", jwks_changed_at: at(0), jwks_known_by: at(70 / 1_440) }, { name: "eu", jwks_changed_at: null, jwks_known_by: null }];
    const wait = (more) => profile.waitOf({ ...profile.EMPTY, ...more }, issuers);
    assert.deepEqual([wait({}), wait({ publishAhead: "2h" }), wait({ publishAhead: "10m" }), wait({ issuer: "eu" })], [4_200, 7_200, 4_200, undefined]);
  });

  test("its bounds, algorithms and names are the signer's", async () => {
    const rust = await readFile(new URL("../../signer-native/src/issue/settings.rs", import.meta.url), "utf8");
    assert.match(rust, /MAX_LIFETIME: Lifetime = Lifetime\(86_400\)/);
    assert.match(rust, /MAX_SESSION: Lifetime = Lifetime\(31 \* 86_400\)/);
    const { Algorithm, ProfileSettings } = JSON.parse(await readFile(new URL("../openapi/admin.json", import.meta.url), "utf8")).components.schemas;
    assert.deepEqual(profile.ALGORITHMS, Algorithm.enum);
    const fields = Object.keys(ProfileSettings.properties).map((name) => profile.fieldOf(`settings.${name}`));
    assert.deepEqual([...fields, "name"].sort(), Object.keys(profile.EMPTY).sort(), "each setting has its field");
    assert.equal(profile.fieldOf("request"), undefined);
  });
});

describe("the session", async () => {
  // What the page has and Node has not.
  globalThis.addEventListener = () => undefined;
  globalThis.BroadcastChannel = class {
    postMessage() {}
  };
  const { login, logout, send, session } = await import("../console/src/api/session.ts");
  const network = globalThis.fetch;
  after(() => (globalThis.fetch = network));
  const of = (name) => ({ authenticated: true, session: name, csrf: name, user: { name, role: "administrator" } });
  const json = (status, body) => Response.json(body, { status });

  test("an answer that was overtaken by a login is dropped", async () => {
    const { promise, resolve } = Promise.withResolvers();
    session.set(of("alice"));
    globalThis.fetch = () => promise;
    const late = session.refresh();
    session.set(of("bob"));
    resolve(json(200, of("alice")));
    assert.equal((await late).user.name, "bob");
    assert.equal(session.get().user.name, "bob");
    globalThis.fetch = async () => json(200, of("carol"));
    assert.equal((await session.refresh()).user.name, "carol");
    assert.equal(session.get().user.name, "carol");
  });

  test("so is one that was overtaken by a logout", async () => {
    const { promise, resolve } = Promise.withResolvers();
    session.set(of("alice"));
    globalThis.fetch = () => promise;
    const late = session.refresh();
    globalThis.fetch = async (_, { method }) => (method === "POST" ? new Response(null, { status: 204 }) : json(200, { authenticated: false }));
    await logout();
    resolve(json(200, of("alice")));
    await late;
    assert.equal(session.get().authenticated, false);
  });

  test("what one person asked for is repeated in no other one's name", async () => {
    for (const [next, posts] of [["alice", 2], ["bob", 1]]) {
      session.set(of("alice"));
      let asked = 0;
      globalThis.fetch = async (path, { method }) => {
        if (method !== "POST") return json(200, of(next));
        asked += 1;
        return asked === 1 ? json(403, { title: "no", code: "cross_site_refused" }) : json(200, {});
      };
      await send("POST", "/admin/v1/keys").catch(({ code }) => assert.equal(code, "cross_site_refused"));
      assert.equal(asked, posts, next);
    }
  });

  test("a read has a limit, a download and a write have none", async () => {
    const limits = [];
    globalThis.fetch = async (_, { signal }) => {
      limits.push(signal instanceof AbortSignal);
      return json(200, {});
    };
    await send("GET", "/a");
    await send("POST", "/a");
    await send("GET", "/a", undefined, true);
    assert.deepEqual(limits, [true, false, false]);
  });

  test("only the network's own errors say that the signer is not reached; a browser without passkeys' functions is named", async () => {
    const problem = await received(Promise.reject(new TypeError("Failed to fetch"))).catch(asProblem);
    assert.equal(problem.code, "signer_unreachable");
    assert.equal((await received(Promise.reject(new DOMException("timed out", "TimeoutError"))).catch(asProblem)).code, "signer_unreachable");
    assert.equal(asProblem(new TypeError("x is not a function")).code, "page_error");
    await assert.rejects(login, (error) => error instanceof ApiProblem && error.code === "browser_too_old");
  });
});

describe("the audit's filters", () => {
  const zone = process.env.TZ;
  after(() => (zone === undefined ? delete process.env.TZ : (process.env.TZ = zone)));

  test("an address holds instants: in another zone the fields differ and the rows do not", () => {
    process.env.TZ = "Asia/Seoul";
    const asked = filters.queryOf(filters.meant({ actor: " admin:alice ", action: "", subject: "", from: "2026-11-26T17:00", to: "2026-11-26T17:30:05" }));
    assert.equal(asked, new URLSearchParams({ actor: "admin:alice", from: "2026-11-26T08:00:00Z", to: "2026-11-26T08:30:05Z" }).toString());
    assert.deepEqual(filters.typed(filters.filtersIn(asked)), { actor: "admin:alice", action: "", subject: "", from: "2026-11-26T17:00", to: "2026-11-26T17:30:05" });
    process.env.TZ = "America/New_York";
    assert.deepEqual(filters.typed(filters.filtersIn(asked)), { actor: "admin:alice", action: "", subject: "", from: "2026-11-26T03:00", to: "2026-11-26T03:30:05" });
    assert.equal(filters.queryOf(filters.filtersIn(asked)), asked);
  });

  test("what is no moment is left out", () => {
    assert.equal(filters.queryOf(filters.filtersIn("from=yesterday&to=&actor=+")), "");
  });
});

test("a step waits as long as the signer says with the key, or of the step itself", () => {
  const imported = key("published", { can_sign_from: 1 }, { origin: "imported" });
  assert.deepEqual([earliest(imported, "activate", NOW), earliest(imported, "retire", NOW)], [at(1), undefined]);
  const actions = [{ action: "activate", allowed: false, earliest: at(3) }, { action: "retire", allowed: false, earliest: at(2) }];
  assert.deepEqual([earliest(imported, "activate", NOW, actions), earliest(imported, "retire", NOW, actions)], [at(1), at(2)]);
  assert.equal(earliest(imported, "retire", NOW + 3 * DAY, actions), undefined);
});

test("rotation by hand offers what fits the profile as it is now, the oldest first", () => {
  const published = (label, days, more = {}) => key("published", {}, { label, created_at: at(days), ...more });
  const keys = [key("active", {}, { label: "old kind", alg: "RS256" }), published("other alg", -9, { alg: "RS256" }), published("other issuer", -8, { issuer: "eu" }), published("young", -1), published("fits", -2), published("of orders", -3, { agent: "orders" }), published("nobody's", -5, { profile: "gone" })];
  const turns = (profiles) => turnsOf(keys, profiles).map(({ name, active, standby }) => [name, active?.label, standby?.label]);
  assert.deepEqual(turns([kind("default")]), [["default", "old kind", "fits"], ["default / orders", undefined, "of orders"]]);
  assert.deepEqual(turns([kind("default", null, { algorithm: "ES384" })]), [["default", "old kind", undefined], ["default / orders", undefined, undefined]]);
});

test("steps are those of the signer's state machine", async () => {
  const rust = await readFile(new URL("../../signer-native/src/keys/lifecycle.rs", import.meta.url), "utf8");
  const table = rust.slice(rust.indexOf("pub const fn starts_from"), rust.indexOf("/// One transition to write"));
  const arms = [...table.matchAll(/Self::(\w+)[^=]*?=> &\[([^\]]*)\]/g)];
  const snake = (name) => name.replace(/(?!^)[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
  const from = (step) => {
    const variant = step.split("-").map((word) => word[0].toUpperCase() + word.slice(1)).join("");
    const arm = arms.find(([text]) => text.includes(`Self::${variant}`));
    return [...arm[2].matchAll(/State::(\w+)/g)].map(([, state]) => snake(state));
  };
  const states = ["published", "active", "suspended", "retiring", "retired", "destroy_scheduled", "destroyed", "compromised", "generating", "failed"];
  for (const step of ["activate", "retire", "suspend", "resume", "compromise", "schedule-destroy", "cancel-destroy"]) {
    assert.deepEqual(states.filter((state) => stepsFrom(state).includes(step)), states.filter((state) => from(step).includes(state)), step);
  }
  // The signer refuses it, since the key is gone already.
  assert.deepEqual(stepsOf(key("compromised", { compromised_at: -1 }), false), ["schedule-destroy"]);
  assert.deepEqual(stepsOf(key("compromised", { destroyed_at: -2, compromised_at: -1 }), false), []);
  // Another word on it would be the second person's.
  assert.deepEqual(stepsOf(key("retired", { retired_at: -1 }), true), ["compromise"]);
});
