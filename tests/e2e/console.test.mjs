// The web console as people use it: a real signer with a token in SoftHSM, a real Chromium with an authenticator. What a page
// claims is believed nowhere: each act is looked for through the administrators' interface and in the HSM.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { generateKeyPairSync, verify } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { promisify } from "node:util";
import { acceptInvitation, ask, invite, openConsole, openTrusting, setUp } from "../support/console.mjs";
import { AUDIENCE, bench, profileOf } from "../support/harness.mjs";
import { call } from "../support/http.mjs";
import { softhsm } from "../support/paths.mjs";
import { cli, jwks, startSigner } from "../support/signer.mjs";
import { freePorts } from "../support/ports.mjs";
import { header } from "../support/tamper.mjs";
import { until } from "../support/wait.mjs";

const run = promisify(execFile);
const here = bench("console");
const hostile = `<img src=x onerror="window.owned=1">`;
let signer, ready, browser, alice, bob, agent;

before(async () => {
  const [publicPort, agentsPort, adminPort] = await freePorts(3);
  signer = await startSigner({ directory: join(here.directory, "signer"), publicPort, agentsPort, mark: here.mark, args: ["--alg", "ES256", "--alg", "RS256", "--admin", `127.0.0.1:${adminPort}`] });
  here.cleanup(() => signer.stop());
  ({ ready } = signer);
  browser = await openTrusting(ready.ca, join(here.directory, "browser"));
  here.cleanup(() => browser.close());
  alice = await openConsole(browser);
  bob = await openConsole(browser);
});

const keys = async () => (await ask(ready, "/admin/v1/keys")).keys;
const keyCalled = async (label) => (await keys()).find((key) => key.label === label);

/** What OpenSC sees under a CKA_ID. */
async function objectsInHsm(ckaId) {
  const { stdout } = await run("pkcs11-tool", ["--module", softhsm(), "--token-label", ready.token_label, "--login", "--pin", "env:EDGESEAL_TEST_PIN", "--list-objects"], {
    env: { ...process.env, SOFTHSM2_CONF: ready.softhsm_conf, EDGESEAL_TEST_PIN: readFileSync(ready.pin_file, "utf8").trim() },
  });
  return stdout.split(/(?=^(?:Private|Public) Key Object)/m).filter((object) => new RegExp(`^\\s*ID:\\s*${ckaId}\\s*$`, "mi").test(object));
}

/** Both halves of a key's pair are in the HSM. */
async function pairStands(kid) {
  const { cka_id: id } = (await keys()).find((key) => key.kid === kid);
  assert.deepEqual((await objectsInHsm(id)).map((object) => object.split(" ")[0]).sort(), ["Private", "Public"], `the pair of ${kid} in the HSM`);
}

async function token(subject = "alice", more = {}) {
  const identity = readFileSync(join(agent, "agent.pem"), "utf8");
  return call(`${ready.agent}/v1/tokens`, { body: { profile: profileOf(signer, "ES256"), audience: AUDIENCE, ttl: "5m", claims: { sub: subject }, ...more }, ca: readFileSync(ready.ca, "utf8"), cert: identity, key: identity });
}

test("the first visit makes the first administrator, with a passkey and recovery codes", async () => {
  const codes = await setUp(alice.page, ready, "alice");
  assert.equal(new Set(codes).size, 10);
  const { users } = await ask(ready, "/admin/v1/users");
  assert.deepEqual(users.map(({ name, role, passkeys }) => ({ name, role, passkeys })), [{ name: "alice", role: "administrator", passkeys: 1 }]);
  assert.deepEqual(alice.problems, []);
});

test("a passkey logs in; nothing else was stored by the page", async () => {
  const { page } = alice;
  await page.getByTestId("who").click();
  await page.getByRole("menuitem", { name: "Log out" }).click();
  await page.getByTestId("login").click();
  await page.getByTestId("who").waitFor();
  const cookies = await alice.context.cookies();
  assert.deepEqual(cookies.map(({ httpOnly, secure, sameSite }) => ({ httpOnly, secure, sameSite })), [{ httpOnly: true, secure: true, sameSite: "Strict" }]);
  assert.deepEqual(await page.evaluate(() => [document.cookie, Object.keys(localStorage), Object.keys(sessionStorage)]), ["", [], []]);
});

for (const [algorithm, kind, type] of [["ES256", "P-256", "EC"], ["RS256", "RSA 2048", "RSA"]]) {
  test(`a ${kind} key is generated in the HSM`, async () => {
    const { page } = alice;
    const label = `console ${kind} ${algorithm === "ES256" ? hostile.slice(0, 40) : ""}`.trim();
    await page.goto(`${ready.console}/keys`);
    await page.getByTestId("generate").click();
    await page.getByTestId("profile").selectOption(profileOf(signer, algorithm));
    await page.getByTestId("label").fill(label);
    await page.getByTestId("confirm").click();
    await page.getByTestId("key-state").waitFor();
    const key = await keyCalled(label);
    assert.equal(key.state, "published");
    assert.equal(key.key, kind);
    assert.equal(key.origin, "generated");
    const objects = await objectsInHsm(key.cka_id);
    assert.equal(objects.length, 2, "a private and a public object");
    const secret = objects.find((object) => object.startsWith("Private"));
    assert.match(secret, new RegExp(`Private Key Object; ${type}`));
    assert.match(secret, /never extractable/);
    assert.ok((await jwks(ready)).json.keys.some(({ kid }) => kid === key.kid), "it is in the JWK Set");
    assert.ok((await page.locator("main").innerText()).includes(label), "the label stands there as text");
    assert.equal(await page.evaluate(() => window.owned), undefined);
  });
}

test("the page of a key shows its public half as the JWK Set has it", async () => {
  const { page } = alice;
  const key = (await keys()).find(({ state, alg, purpose }) => state === "active" && alg === "ES256" && purpose === "token");
  await page.goto(`${ready.console}/keys/${key.kid}`);
  const shown = JSON.parse(await page.getByTestId("jwk").textContent());
  const served = (await jwks(ready)).json.keys.find(({ kid }) => kid === key.kid);
  assert.deepEqual({ x: shown.x, y: shown.y, kid: shown.kid }, { x: served.x, y: served.y, kid: served.kid });
  await page.getByRole("tab", { name: "PEM" }).click();
  assert.match(await page.getByTestId("pem").textContent(), /^-----BEGIN PUBLIC KEY-----/);
  await page.getByRole("tab", { name: "QR code" }).click();
  await page.getByTestId("qr").waitFor();
  await page.getByText("CKA_NEVER_EXTRACTABLE").waitFor();
});

test("an agent is invited, enrols with the code, and gets a token under its policy", async () => {
  const { page } = alice;
  const profile = profileOf(signer, "ES256");
  await page.goto(`${ready.console}/agents`);
  await page.getByTestId("invite").click();
  await page.getByTestId("agent-name").fill("orders");
  await page.getByTestId("confirm").click();
  await page.getByText("Choose at least one profile.").waitFor();
  await page.getByTestId(`profile-${profile}`).check();
  await page.getByTestId("max-lifetime").fill("ten minutes");
  await page.getByText("A number and s, m, h or d").waitFor();
  await page.getByTestId("max-lifetime").fill("5m");
  await page.getByTestId("confirm").click();
  const code = (await page.getByTestId("agent-code").textContent()).trim();
  const command = (await page.getByTestId("agent-command").textContent()).trim();
  await page.getByTestId("done").click();
  agent = join(here.directory, "orders");
  const [program, ...args] = command.split(/\s+/);
  assert.equal(program, "edgeseal");
  const enrolled = await cli([...args, "--out", agent], { input: `${code}\n` });
  assert.equal(enrolled.code, 0, enrolled.err);
  const issued = await token();
  assert.equal(issued.status, 200, issued.text);
  const { policy, certificates } = await ask(ready, "/admin/v1/agents/orders");
  assert.deepEqual([policy.profiles, policy.max_lifetime, certificates.length], [[profile], 300, 1]);

  await page.getByTestId("agent-orders").getByRole("link").click();
  await page.getByTestId("max-lifetime").fill("1m");
  await page.getByTestId("save-policy").click();
  await until("the policy is saved", async () => (await ask(ready, "/admin/v1/agents/orders")).policy.max_lifetime === 60);
  const refused = await until("the new policy holds", async () => {
    const answer = await token();
    return answer.status !== 200 && answer;
  });
  assert.equal(refused.json.code, "policy_denied");
  await page.getByTestId("max-lifetime").fill("5m");
  await page.getByTestId("save-policy").click();
  await until("it is allowed again", async () => (await token()).status === 200);
});

test("a profile is created with every setting and changed; what is wrong is said at its field; it issues once it has a key", async () => {
  const { page } = alice;
  const field = (name) => page.getByTestId(`profile-${name}`);
  const says = async (name) => page.locator(`#${await field(name).getAttribute("id")}-wrong`).textContent();
  await page.goto(`${ready.console}/profiles`);
  await page.getByTestId("create-profile").click();
  await page.getByTestId("confirm").click();
  assert.match(await says("name"), /1 to 64 characters/);
  assert.match(await says("audiences"), /at least one audience/);
  assert.equal(await page.evaluate(() => document.activeElement.dataset.testid), "profile-name", "the focus is at the first field that is wrong");
  await field("name").fill(profileOf(signer, "ES256"));
  assert.match(await says("name"), /is there already/);
  await field("name").fill("partners");
  await field("audiences").fill("https://partners.example\nhttps://reports.example");
  await field("maxLifetime").fill("2d");
  assert.match(await says("maxLifetime"), /1s to 1d/);
  await field("maxLifetime").fill("10m");
  await field("defaultLifetime").fill("11m");
  assert.match(await says("defaultLifetime"), /1s to 10m/);
  await field("defaultLifetime").fill("2m");
  await field("maxSession").fill("soon");
  assert.match(await says("maxSession"), /A number and s, m, h or d/);
  await field("maxSession").fill("1h");
  await field("typ").fill("at+jwt; charset=utf-8");
  assert.match(await says("typ"), /without parameters/);
  await field("typ").fill("at+jwt");
  await page.getByTestId("mode-digest").check();
  await field("algorithm").selectOption("EdDSA");
  await page.getByText("EdDSA signs no digests").waitFor();
  await page.getByTestId("mode-digest").uncheck();
  await page.getByTestId("mode-claims").uncheck();
  await page.getByText("Choose at least one.").waitFor();
  await page.getByTestId("mode-claims").check();
  await page.getByTestId("mode-sd").check();
  await field("algorithm").selectOption("ES384");
  assert.equal((await ask(ready, "/admin/v1/profiles")).profiles.some(({ name }) => name === "partners"), false, "nothing was sent so far");
  // What the page cannot know is the signer's word, and stands at the field all the same: somebody else takes the name.
  await field("name").fill("rivals");
  await page.route("**/admin/v1/profiles", async (route) => {
    if (route.request().method() === "POST") await ask(ready, "/admin/v1/profiles", { method: "POST", body: { name: "rivals", settings: { algorithm: "ES256", audiences: ["https://rivals.example"] } } });
    await route.continue();
  });
  await page.getByTestId("confirm").click();
  await page.getByTestId("problem-code").waitFor();
  await page.unroute("**/admin/v1/profiles");
  assert.equal(await page.getByTestId("problem-code").textContent(), "conflict");
  assert.match(await says("name"), /rivals is there already/);
  assert.match(await page.getByRole("alert").innerText(), /Look at how it stands now/);
  assert.deepEqual((await ask(ready, "/admin/v1/profiles/rivals")).audiences, ["https://rivals.example"], "the other's stays as it is");
  await field("name").fill("partners");
  await page.getByTestId("confirm").click();
  await page.getByTestId("confirm").waitFor({ state: "detached" });
  const made = await ask(ready, "/admin/v1/profiles/partners");
  assert.deepEqual(
    [made.algorithm, made.audiences, made.max_lifetime, made.default_lifetime, made.modes, made.typ, made.max_session, made.issuer, made.origin],
    ["ES384", ["https://partners.example", "https://reports.example"], 600, 120, ["claims", "sd"], "at+jwt", 3_600, ready.issuer, "store"],
  );

  await page.getByTestId("edit-partners").click();
  assert.equal(await field("name").isDisabled(), true);
  assert.deepEqual([await field("maxLifetime").inputValue(), await field("typ").inputValue(), await field("maxSession").inputValue()], ["10m", "at+jwt", "1h"]);
  // Keys of another kind sign nothing for it: that is said before it is saved, and until when.
  await field("algorithm").selectOption("ES256");
  await page.getByText("Nothing is signed for this profile until a key of the new kind may sign.").waitFor();
  await page.getByText("about 1.2 hours after it is published").waitFor();
  await field("algorithm").selectOption("ES384");
  assert.equal(await page.getByText("Nothing is signed for this profile").count(), 0);
  await field("defaultLifetime").fill("3m");
  await page.getByTestId("confirm").click();
  await page.getByTestId("confirm").waitFor({ state: "detached" });
  const changed = await ask(ready, "/admin/v1/profiles/partners");
  assert.deepEqual([changed.default_lifetime, changed.max_lifetime, changed.audiences.length], [180, 600, 2]);
  assert.equal(await page.getByTestId(`edit-${profileOf(signer, "ES256")}`).count(), 0, "what stands in the configuration is changed there");

  await page.goto(`${ready.console}/keys`);
  await page.getByTestId("generate").click();
  await page.getByTestId("profile").selectOption("partners");
  await page.getByTestId("label").fill("first of partners");
  await page.getByTestId("confirm").click();
  await page.getByTestId("key-state").waitFor();
  await page.getByTestId("step-activate").click();
  await page.getByTestId("confirm").click();
  await page.locator("[data-testid=key-state][data-state=active]").waitFor();
  await page.goto(`${ready.console}/agents/orders`);
  await page.getByTestId("profile-partners").check();
  await page.getByTestId("save-policy").click();
  await until("the agent may ask for it", async () => (await ask(ready, "/admin/v1/agents/orders")).policy.profiles.includes("partners"));
  const issued = await until("a token of the new profile", async () => {
    const answer = await token("alice", { profile: "partners", audience: "https://partners.example", ttl: undefined });
    return answer.status === 200 && answer;
  });
  const { alg, typ, kid } = header(issued.json.token);
  assert.deepEqual([alg, typ, kid], ["ES384", "at+jwt", (await keyCalled("first of partners")).kid]);
  const claims = JSON.parse(Buffer.from(issued.json.token.split(".")[1], "base64url"));
  assert.equal(claims.exp - claims.iat, 180);
});

test("a key is imported from its shares: in the HSM, marked for good, and its tokens verify with the key that was split", async () => {
  const { page } = alice;
  const folder = join(here.directory, "ceremony");
  mkdirSync(folder, { recursive: true });
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
  writeFileSync(join(folder, "key.pem"), privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  const split = await cli(["keys", "split", "--key", join(folder, "key.pem"), "--shares", "3", "--out", folder]);
  assert.equal(split.code, 0, split.err);
  const files = [1, 2, 3].map((n) => join(folder, `share-${n}-of-3.json`));
  const other = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey.export({ type: "pkcs8", format: "pem" });
  writeFileSync(join(folder, "other.pem"), other, { mode: 0o600 });
  mkdirSync(join(folder, "other"), { recursive: true });
  assert.equal((await cli(["keys", "split", "--key", join(folder, "other.pem"), "--shares", "3", "--out", join(folder, "other")])).code, 0);

  await page.goto(`${ready.console}/keys`);
  await page.getByTestId("import").click();
  await page.getByTestId("profile").selectOption(profileOf(signer, "ES256"));
  await page.getByTestId("label").fill("ceremony");
  await page.getByTestId("share").fill("my share");
  await page.getByTestId("add-share").click();
  await page.getByText("This is no share").waitFor();
  await page.getByTestId("share").fill(readFileSync(files[2], "utf8"));
  await page.getByTestId("add-share").click();
  await page.getByText("1 of 3 shares").waitFor();
  assert.equal(await page.getByTestId("share").inputValue(), "", "the share is not left standing");
  await page.getByTestId("share-files").setInputFiles(join(folder, "other/share-1-of-3.json"));
  await page.getByText("belongs to another key").waitFor();
  assert.equal(await page.getByTestId("confirm").isDisabled(), true);
  await page.getByTestId("share-files").setInputFiles([files[0], files[1]]);
  await page.getByText("3 of 3 shares").waitFor();
  // The wrong profile: the signer says so, nothing comes in, and the shares need not be brought again.
  await page.getByTestId("confirm").click();
  await page.getByTestId("problem-code").waitFor();
  assert.equal(await keyCalled("ceremony"), undefined);
  await page.getByTestId("profile").selectOption("partners");
  await page.getByTestId("confirm").click();
  await page.getByTestId("key-state").waitFor();
  await page.getByText("imported", { exact: true }).waitFor();

  const key = await keyCalled("ceremony");
  assert.deepEqual([key.origin, key.state, key.profile, key.key], ["imported", "published", "partners", "P-384"]);
  const objects = await objectsInHsm(key.cka_id);
  assert.equal(objects.length, 2, "a private and a public object");
  const secret = objects.find((object) => object.startsWith("Private"));
  assert.match(secret, /Access:\s+.*sensitive/);
  assert.doesNotMatch(secret, /never extractable|local/, "the HSM does not claim to have made it");
  assert.doesNotMatch(secret, /(^|[\s,])extractable/m, "and lets it out no more");
  const served = (await jwks(ready)).json.keys.find(({ kid }) => kid === key.kid);
  const { x, y } = publicKey.export({ format: "jwk" });
  assert.deepEqual([served.x, served.y], [x, y]);

  await page.getByTestId("step-activate").click();
  await page.getByTestId("confirm").click();
  await page.locator("[data-testid=key-state][data-state=active]").waitFor();
  const issued = await until("the imported key signs", async () => {
    const answer = await token("alice", { profile: "partners", audience: "https://partners.example" });
    return answer.status === 200 && header(answer.json.token).kid === key.kid && answer.json.token;
  });
  const [head, body, signature] = issued.split(".");
  assert.ok(verify("sha384", Buffer.from(`${head}.${body}`), { key: publicKey, dsaEncoding: "ieee-p1363" }, Buffer.from(signature, "base64url")));

  await page.goto(`${ready.console}/keys`);
  await page.getByTestId("import").click();
  assert.equal(await page.getByText(/of 3 shares/).count(), 0, "no share outlives the dialog");
  await page.keyboard.press("Escape");
});

test("rotation: the standby signs from now on, and its predecessor retires", async () => {
  const { page } = alice;
  const profile = profileOf(signer, "ES256");
  const before_ = header((await token()).json.token).kid;
  await page.goto(`${ready.console}/keys`);
  await page.getByTestId("rotate").click();
  await page.getByTestId("profile").selectOption(profile);
  await page.getByTestId("confirm").click();
  await page.getByTestId("confirm").waitFor({ state: "detached" });
  const after_ = await until("another key signs", async () => {
    const { kid } = header((await token()).json.token);
    return kid !== before_ && kid;
  });
  const states = Object.fromEntries((await keys()).map(({ kid, state }) => [kid, state]));
  assert.deepEqual([states[before_], states[after_]], ["retiring", "active"]);
  for (const kid of [before_, after_]) await pairStands(kid);
});

test("compromise asks what it says it will do, and takes the key out of the JWK Set at once", async () => {
  const { page } = alice;
  const key = (await keys()).find(({ state, alg, purpose }) => state === "retiring" && alg === "ES256" && purpose === "token");
  await page.goto(`${ready.console}/keys/${key.kid}`);
  await page.getByTestId("step-compromise").click();
  const dialog = page.getByRole("alertdialog");
  assert.match(await dialog.innerText(), /leaves the JWK Set at once[\s\S]*cannot be undone[\s\S]*asked for your passkey/);
  await page.getByTestId("confirm").click();
  await page.locator("[data-testid=key-state][data-state=compromised]").waitFor();
  const [now] = (await keys()).filter(({ kid }) => kid === key.kid);
  assert.equal(now.state, "compromised");
  assert.ok(!(await jwks(ready)).json.keys.some(({ kid }) => kid === key.kid));
  assert.ok((await ask(ready, "/admin/v1/revocations")).revocations.some(({ value }) => value === key.kid), "it is on the revocation list");
  await pairStands(key.kid);
  await page.goto(`${ready.console}/`);
  await page.getByTestId("attention-compromised").waitFor();

  // The page of edges says when the JWK Set changed, and by when every verifier has it: max-age 5 min + 1 h + 5 min of clocks.
  const [{ jwks_changed_at: changed, jwks_known_by: known }] = (await ask(ready, "/admin/v1/issuers")).issuers;
  assert.equal(Date.parse(changed), Date.parse(now.compromised_at));
  assert.equal(Date.parse(known) - Date.parse(changed), 70 * 60_000);
  await page.goto(`${ready.console}/edges`);
  const row = page.getByTestId("jwks-");
  await row.waitFor();
  assert.deepEqual(await row.locator("time").evaluateAll((times) => times.map(({ dateTime }) => dateTime)), [changed, known]);
});

test("destruction takes two people: one's own approval is not offered, the other's schedules it", async () => {
  const key = (await keys()).find(({ state }) => state === "compromised");
  await alice.page.goto(`${ready.console}/keys/${key.kid}`);
  await alice.page.getByTestId("step-schedule-destroy").click();
  await alice.page.getByTestId("days").fill("8");
  await alice.page.getByTestId("confirm").click();
  await alice.page.getByTestId("withdraw").waitFor();
  assert.equal(await alice.page.getByTestId("approve").count(), 0);
  assert.equal(await alice.page.getByTestId("step-schedule-destroy").count(), 0, "it is proposed already");
  assert.equal((await keys()).find(({ kid }) => kid === key.kid).state, "compromised", "nothing has happened yet");

  const code = await invite(alice.page, ready, "bob", "administrator");
  await acceptInvitation(bob.page, ready, code);
  await bob.page.getByTestId("attention-proposal").getByRole("link").click();
  await bob.page.getByTestId("approve").waitFor();
  assert.equal(await bob.page.getByTestId("step-schedule-destroy").count(), 0, "his word is given on the proposal");
  assert.equal(await bob.page.getByTestId("withdraw").count(), 1, "and he may call it off");
  await bob.page.getByTestId("approve").click();
  await bob.page.getByTestId("confirm").click();
  await bob.page.locator("[data-testid=key-state][data-state=destroy_scheduled]").waitFor();
  const { state, destroy_at: at } = (await keys()).find(({ kid }) => kid === key.kid);
  assert.equal(state, "destroy_scheduled");
  const days = (Date.parse(at) - Date.now()) / 86_400_000;
  assert.ok(days > 7.9 && days <= 8.01, `${days} days`);
  await pairStands(key.kid);

  await bob.page.getByTestId("step-cancel-destroy").click();
  await bob.page.getByTestId("confirm").click();
  const after_ = await until("it is called off", async () => {
    const now = (await keys()).find(({ kid }) => kid === key.kid);
    return now.state !== "destroy_scheduled" && now;
  });
  assert.deepEqual([after_.state, after_.destroy_at ?? null, after_.destroyed_at ?? null], ["compromised", null, null]);
  await pairStands(key.kid);
});

test("a revoked agent gets nothing more", async () => {
  const { page } = alice;
  const before_ = await token();
  assert.equal(before_.status, 200);
  await page.goto(`${ready.console}/agents/orders`);
  await page.getByTestId("revoke").click();
  await page.getByTestId("confirm").click();
  await page.getByTestId("confirm").waitFor({ state: "detached" });
  const refused = await until("it is refused", async () => {
    const answer = await token();
    return answer.status !== 200 && answer;
  });
  assert.equal(refused.status, 403, refused.text);
  assert.ok((await ask(ready, "/admin/v1/agents/orders")).revoked_at);
  // The key that signed for it is everybody's, and stays.
  await pairStands(header(before_.json.token).kid);
});

test("a revoked agent is deleted, and its name is free", async () => {
  const { page } = alice;
  await ask(ready, "/admin/v1/agents", { method: "POST", body: { name: "brief", policy: { profiles: [profileOf(signer, "ES256")] } } });
  await ask(ready, "/admin/v1/agents/brief:revoke", { method: "POST" });
  await page.goto(`${ready.console}/agents/brief`);
  await page.getByTestId("delete").click();
  await page.getByTestId("confirm").click();
  await page.waitForURL(`${ready.console}/agents`);
  await page.getByText("brief is deleted.").waitFor();
  assert.equal((await ask(ready, "/admin/v1/agents")).agents.some(({ name }) => name === "brief"), false);
});

test("a profile is retired and reinstated; it is deleted once nothing needs it, and what still does is said", async () => {
  const { page } = alice;
  const press = async (id, profile) => {
    await page.getByTestId(`${id}-${profile}`).click();
    await page.getByTestId("confirm").click();
  };
  const done = () => page.getByTestId("confirm").waitFor({ state: "detached" });
  await page.goto(`${ready.console}/profiles`);
  await press("retire", "partners");
  await done();
  assert.ok((await ask(ready, "/admin/v1/profiles/partners")).retired_at);
  await page.getByTestId("edit-partners").waitFor({ state: "detached" });
  await press("delete", "partners");
  await page.getByTestId("problem-code").getByText("still_needed").waitFor();
  await page.getByText("Do first what it names, then try again.").waitFor();
  await page.keyboard.press("Escape");
  await done();
  await press("reinstate", "partners");
  await done();
  assert.equal((await ask(ready, "/admin/v1/profiles/partners")).retired_at, null);
  // One that has no key yet.
  await ask(ready, "/admin/v1/profiles", { method: "POST", body: { name: "brief", settings: { algorithm: "ES256", audiences: ["https://brief.example"] } } });
  await ask(ready, "/admin/v1/profiles/brief:retire", { method: "POST" });
  await page.reload();
  await press("delete", "brief");
  // Other signers might not know yet that it is retired, and the page says until when.
  await page.getByTestId("problem-detail").getByText("not every signer may know yet").waitFor();
  const confirm = page.getByTestId("confirm");
  await until("it is deleted", async () => {
    // It may be gone by the time it is clicked: then that is over soon, and looked at again.
    if (await confirm.count()) await confirm.click({ timeout: 1_000 });
    return (await confirm.count()) === 0;
  });
  assert.equal((await ask(ready, "/admin/v1/profiles")).profiles.some(({ name }) => name === "brief"), false);
});

test("a refusal shows the problem's text, its code, its request and the mend", async () => {
  const { page } = alice;
  await page.goto(`${ready.console}/agents`);
  await page.getByTestId("invite").click();
  await page.getByTestId("agent-name").fill("demo-app");
  await page.getByTestId(`profile-${profileOf(signer, "ES256")}`).check();
  await page.getByTestId("confirm").click();
  const alert = page.getByRole("alert");
  await alert.waitFor();
  assert.equal(await page.getByTestId("problem-code").textContent(), "conflict");
  assert.match(await page.getByTestId("problem-detail").textContent(), /demo-app/);
  assert.match(await alert.innerText(), /request \S+/);
});

test("the audit is read, filtered and exported; the export proves itself, and names who did what", async () => {
  const { page } = alice;
  await page.goto(`${ready.console}/audit`);
  await page.getByTestId("filter-action").fill("keys.compromise");
  await page.getByTestId("filter").click();
  await until("only these rows are shown", async () => {
    const actions = await page.getByTestId("audit-row").evaluateAll((rows) => rows.map((row) => row.dataset.action));
    return actions.length === 1 && actions[0] === "keys.compromise";
  });
  await page.getByTestId("chain-status").waitFor();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByTestId("export").click()]);
  const file = join(here.directory, "export.jsonl");
  await download.saveAs(file);
  const verdict = await cli(["audit", "verify", file]);
  assert.equal(verdict.code, 0, verdict.err + verdict.out);
  const actions = readFileSync(file, "utf8").split("\n").filter(Boolean);
  for (const action of ["keys.compromise", "agents.revoke", "keys.propose-destroy"]) {
    assert.ok(actions.some((line) => line.includes(action) && line.includes("admin:alice")), `${action} by alice is in the export`);
  }
  assert.ok(actions.some((line) => line.includes("admin:bob")), "so is what bob did");
});

test("the evidence report is read once for each time that it is opened: it is a row of the log", async () => {
  const { page } = alice;
  const reads = [];
  const note = (request) => request.url().endsWith("/admin/v1/audit/ledger") && reads.push(request.method());
  page.on("request", note);
  await page.goto(`${ready.console}/audit`);
  for (const times of [1, 2]) {
    await page.getByRole("link", { name: "Evidence report" }).click();
    await page.getByText("CKA_ID").first().waitFor();
    await page.waitForTimeout(1_200);
    await page.evaluate(() => window.dispatchEvent(new Event("visibilitychange")));
    await page.waitForTimeout(500);
    assert.equal(reads.length, times);
    await page.goBack();
    await page.getByTestId("chain-status").waitFor();
  }
  page.off("request", note);
});

test("roles: what an auditor may not do is not offered, and refused when asked for all the same", async () => {
  const code = await invite(alice.page, ready, "audrey", "auditor");
  const audrey = await openConsole(browser);
  const { page } = audrey;
  await acceptInvitation(page, ready, code);
  for (const [path, ids] of [["/keys", ["generate", "rotate", "import"]], ["/profiles", ["create-profile", "edit-partners", "retire-partners"]], ["/agents", ["invite"]], ["/agents/orders", ["revoke", "delete", "invite-again", "save-policy"]]]) {
    await page.goto(`${ready.console}${path}`);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.waitForTimeout(400);
    for (const id of ids) assert.equal(await page.getByTestId(id).count(), 0, `${id} on ${path}`);
  }
  const profile = profileOf(signer, "ES256");
  const status = await page.evaluate(async (profile) => {
    const { csrf } = await (await fetch("/console/v1/session")).json();
    const answer = await fetch("/admin/v1/keys", { method: "POST", headers: { "content-type": "application/json", "x-edgeseal-csrf": csrf }, body: JSON.stringify({ profile }) });
    return { status: answer.status, ...(await answer.json()) };
  }, profile);
  assert.deepEqual([status.status, status.code], [403, "role_denied"]);
  await audrey.context.close();
});

test("a recovery code lets in once, to make a new passkey and nothing else", async () => {
  const lost = await openConsole(browser);
  const { page } = lost;
  const code = await invite(alice.page, ready, "carol", "operator");
  const codes = await acceptInvitation(page, ready, code);
  await lost.context.close();

  const again = await openConsole(browser);
  await again.page.goto(`${ready.console}/`);
  await again.page.getByText("My passkey is lost").click();
  await again.page.getByTestId("name").fill("carol");
  await again.page.getByTestId("code").fill(codes[0]);
  await again.page.getByTestId("recover").click();
  await again.page.getByRole("heading", { name: "Make a new passkey" }).waitFor();
  assert.equal(await again.page.evaluate(async () => (await fetch("/admin/v1/keys")).status), 403);
  await again.page.getByTestId("make-passkey").click();
  await again.page.getByTestId("who").waitFor();
  await again.context.close();
});

test("a passkey that is not given leaves everything as it is, and says so", async () => {
  const carol = await openConsole(browser);
  await carol.page.goto(`${ready.console}/`);
  await carol.page.getByTestId("login").click();
  await carol.page.getByTestId("problem-code").waitFor();
  assert.equal(await carol.page.getByTestId("problem-code").textContent(), "passkey_not_given");
  await carol.context.close();
});

test("no page broke the content security policy or threw, for anybody", () => {
  assert.ok(existsSync(join(here.directory, "export.jsonl")), "the flow came to its end");
  assert.deepEqual([...alice.problems, ...bob.problems], []);
});
