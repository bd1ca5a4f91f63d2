// What people do to a console without meaning to, and what attackers mean to: bad input in every form, two clicks for one, the
// browser's back button, sessions that end, the network that goes, and markup in every text that a person or an agent can give.

import assert from "node:assert/strict";
import { join } from "node:path";
import { before, test } from "node:test";
import { acceptInvitation, ask, invite, openConsole, openTrusting, setupCode } from "../support/console.mjs";
import { bench, profileOf } from "../support/harness.mjs";
import { freePorts } from "../support/ports.mjs";
import { askForToken, cli, issue, startSigner } from "../support/signer.mjs";
import { until } from "../support/wait.mjs";

const here = bench("console-abuse");
/** Each would run a script or break out of its place, somewhere. */
const HOSTILE = ["<img src=x onerror=window.owned=1>", "\"><svg/onload=window.owned=2>", "javascript:window.owned=3//", "{{constructor.constructor('window.owned=4')()}}", "</script><script>window.owned=5</script>"];
let signer, ready, browser, alice;

before(async () => {
  const [publicPort, agentsPort, adminPort] = await freePorts(3);
  signer = await startSigner({ directory: join(here.directory, "signer"), publicPort, agentsPort, mark: here.mark, args: ["--alg", "ES256", "--admin", `127.0.0.1:${adminPort}`] });
  here.cleanup(() => signer.stop());
  ({ ready } = signer);
  browser = await openTrusting(ready.ca, join(here.directory, "browser"));
  here.cleanup(() => browser.close());
  alice = await openConsole(browser, { userAgent: `Mozilla/5.0 ${HOSTILE[0]} HeadlessChrome/156.0` });
});

const keys = async () => (await ask(ready, "/admin/v1/keys")).keys;
const wrongAt = async (page, testId) => page.locator(`[id="${await page.getByTestId(testId).getAttribute("id")}-wrong"]`).textContent();
const focused = (page) => page.evaluate(() => document.activeElement.dataset.testid);

test("set-up: nothing, a wrong code and a name that cannot be are refused at the field, and the code is not used up", async () => {
  const { page } = alice;
  await page.goto(`${ready.console}/`);
  await page.getByTestId("check-code").click();
  assert.equal(await wrongAt(page, "code"), "This is needed.");
  assert.equal(await focused(page), "code");
  await page.getByTestId("code").fill("AAAAA-BBBBB-CCCCC-DDDDD-EEEEE-F");
  await page.getByTestId("check-code").click();
  await page.getByTestId("problem-code").waitFor();
  assert.equal(await page.getByTestId("problem-code").textContent(), "code_refused");
  await page.getByTestId("code").fill(setupCode(ready).toLowerCase().replaceAll("-", " "));
  await page.getByTestId("check-code").click();
  for (const name of ["Alice", "a b", HOSTILE[0], "-alice", "a".repeat(65)]) {
    await page.getByTestId("name").fill(name);
    await page.getByTestId("make-passkey").click();
    assert.equal(await wrongAt(page, "name"), "This does not fit:", name);
  }
  await page.getByTestId("name").fill("alice");
  await page.getByLabel("Name of this passkey").fill(HOSTILE[1]);
  await page.getByTestId("make-passkey").dblclick();
  await page.getByTestId("codes-kept").click();
  await page.getByTestId("who").waitFor();
  assert.deepEqual((await ask(ready, "/admin/v1/users")).users.map(({ name, passkeys }) => [name, passkeys]), [["alice", 1]]);
});

test("each form says what is wrong with what it was given, and sends nothing that cannot be", async () => {
  const { page } = alice;
  const sent = [];
  const note = (request) => request.method() !== "GET" && /\/admin\//.test(request.url()) && sent.push(`${request.method()} ${new URL(request.url()).pathname}`);
  page.on("request", note);

  await page.goto(`${ready.console}/users`);
  await page.getByTestId("invite").click();
  await page.getByTestId("confirm").click();
  assert.equal(await wrongAt(page, "name"), "This is needed.");
  await page.getByTestId("name").fill("Bob <b>");
  await page.getByTestId("confirm").click();
  assert.equal(await wrongAt(page, "name"), "This does not fit:");
  await page.getByTestId("name").press("Backspace");
  assert.equal(await page.locator(".wrong").count(), 0, "what was said goes with the next letter");
  await page.keyboard.press("Escape");

  await page.goto(`${ready.console}/agents`);
  await page.getByTestId("invite").click();
  await page.getByTestId("confirm").click();
  assert.equal(await wrongAt(page, "agent-name"), "This is needed.");
  await page.getByTestId("agent-name").fill("../../keys");
  await page.getByTestId("confirm").click();
  assert.equal(await wrongAt(page, "agent-name"), "This does not fit:");
  await page.getByTestId("agent-name").fill("orders");
  const policies = [["max-lifetime", "1y", /A number and s, m, h or d/], ["max-lifetime", "0", /A number and s, m, h or d/], ["max-lifetime", "25h", /at most 1h/], ["rate", "-1", /whole number/], ["rate", "1.5", /whole number/], ["rate", "4294967296", /whole number/], ["required", "sub\nexp", /exp is written by the signer/], ["forbidden", "cnf", /cnf is written by the signer/]];
  for (const [field, text, said] of policies) {
    await page.getByTestId(field).fill(text);
    await page.getByTestId("confirm").click();
    assert.match(await wrongAt(page, field), said);
    await page.getByTestId(field).fill("");
  }
  page.off("request", note);
  assert.deepEqual(sent, []);
});

test("a name that is taken, a label that is too long, a value that is too long: the signer's word stands in the form", async () => {
  const { page } = alice;
  const refusedWith = async (code) => {
    await page.getByTestId("problem-code").waitFor();
    assert.equal(await page.getByTestId("problem-code").textContent(), code);
  };
  await page.goto(`${ready.console}/users`);
  await page.getByTestId("invite").click();
  await page.getByTestId("name").fill("alice");
  await page.getByTestId("confirm").click();
  await refusedWith("conflict");
  assert.equal(await page.getByTestId("name").inputValue(), "alice", "what was typed is still there");
  await page.keyboard.press("Escape");

  await page.goto(`${ready.console}/edges`);
  await page.getByTestId("revoke-token").click();
  await page.getByTestId("value").fill("x".repeat(5_000));
  await page.getByTestId("confirm").click();
  await refusedWith("request_malformed");
  assert.match(await page.getByTestId("problem-detail").textContent(), /256 octets, and this one has 5000/);
  assert.equal((await ask(ready, "/admin/v1/revocations")).revocations.length, 0);
  await page.keyboard.press("Escape");

  // 64 letters of three octets each: a label of 192 octets.
  await page.goto(`${ready.console}/keys`);
  await page.getByTestId("generate").click();
  await page.getByTestId("label").fill("열쇠".repeat(40));
  assert.equal((await page.getByTestId("label").inputValue()).length, 64);
  await page.getByTestId("confirm").click();
  await Promise.race([page.getByTestId("key-state").waitFor(), page.getByTestId("problem-code").waitFor()]);
  const label = "열쇠".repeat(32);
  if (await page.getByTestId("problem-code").isVisible()) assert.match(await page.getByTestId("problem-detail").textContent(), /label/);
  else assert.ok((await keys()).some((key) => key.label === label));
});

test("two clicks are one act", async () => {
  const { page } = alice;
  await page.goto(`${ready.console}/keys`);
  await page.getByTestId("generate").click();
  await page.getByTestId("label").fill("clicked twice");
  await page.getByTestId("confirm").dblclick();
  await page.getByTestId("key-state").waitFor();
  await page.waitForTimeout(500);
  assert.equal((await keys()).filter(({ label }) => label === "clicked twice").length, 1);

  await page.getByTestId("step-compromise").dblclick();
  await page.getByTestId("confirm").dblclick();
  await page.locator("[data-testid=key-state][data-state=compromised]").waitFor();
  await page.getByTestId("confirm").waitFor({ state: "detached" });

  await page.goto(`${ready.console}/users`);
  await page.getByTestId("invite").click();
  await page.getByTestId("name").fill("twice");
  await page.getByTestId("name").press("Enter");
  await page.keyboard.press("Enter");
  await page.getByTestId("user-code").waitFor();
  await page.getByTestId("done").click();
  assert.equal((await ask(ready, "/admin/v1/users")).users.filter(({ name }) => name === "twice").length, 1);
});

test("back leads to the page before, with nothing left standing above it", async () => {
  const { page } = alice;
  await page.goto(`${ready.console}/keys`);
  await page.getByRole("link", { name: "Profiles" }).click();
  await page.getByTestId("create-profile").click();
  await page.getByRole("dialog").waitFor();
  await page.goBack();
  await page.getByTestId("generate").waitFor();
  assert.equal(await page.getByRole("dialog").count(), 0);
  await page.getByRole("link", { name: /clicked twice/ }).last().click();
  await page.getByTestId("key-state").waitFor();
  await page.getByRole("link", { name: "Audit log" }).click();
  await page.getByTestId("filter-action").fill("keys.compromise");
  await page.getByTestId("filter").click();
  await until("the rows are filtered", async () => (await page.getByTestId("audit-row").count()) === 1);
  await page.getByRole("link", { name: "Evidence report" }).click();
  await page.getByRole("heading", { name: "Evidence report" }).waitFor();
  await page.goBack();
  await until("the filter is as it was left", async () => (await page.getByTestId("filter-action").inputValue()) === "keys.compromise" && (await page.getByTestId("audit-row").count()) === 1);
  await page.goBack();
  await until("without the filter again", async () => (await page.getByTestId("filter-action").inputValue()) === "");
});

test("without the network the page says so, keeps what was typed, and goes on when it is back", async () => {
  const { page, context } = alice;
  await page.goto(`${ready.console}/profiles`);
  await page.getByTestId("create-profile").click();
  await page.getByTestId("profile-name").fill("offline");
  await page.getByTestId("profile-audiences").fill("https://offline.example");
  await context.setOffline(true);
  await page.getByTestId("confirm").click();
  await page.getByTestId("problem-code").waitFor();
  assert.equal(await page.getByTestId("problem-code").textContent(), "signer_unreachable");
  assert.equal(await page.getByTestId("profile-name").inputValue(), "offline");
  await context.setOffline(false);
  await page.getByTestId("confirm").click();
  await page.getByTestId("confirm").waitFor({ state: "detached" });
  assert.deepEqual((await ask(ready, "/admin/v1/profiles/offline")).audiences, ["https://offline.example"]);

  // A browser that knows that it is offline asks all the same, so that the page does not go on about how well all is.
  await page.goto(`${ready.console}/`);
  await page.waitForFunction(() => document.querySelector("h1") && !document.querySelector(".skeleton"));
  await context.setOffline(true);
  await page.getByRole("heading", { name: "The signer's state is not known" }).waitFor();
  await context.setOffline(false);
  await page.getByRole("heading", { name: "The signer's state is not known" }).waitFor({ state: "detached" });
});

test("what was read before the signer went away is not shown as the present", async () => {
  const { page } = alice;
  const reads = /\/(admin|console)\/v1\//;
  const profile = profileOf(signer, "ES256");
  const active = (await keys()).find((key) => key.profile === profile && key.state === "active");
  for (const path of ["/", `/keys/${active.kid}`, "/agents/demo-app"]) {
    await page.goto(`${ready.console}${path}`);
    await page.waitForFunction(() => document.querySelector("h1") && !document.querySelector(".skeleton"));
    await page.route(reads, (route) => route.abort());
    await page.getByTestId("problem-code").first().waitFor();
    assert.equal(await page.getByTestId("problem-code").first().textContent(), "signer_unreachable", path);
    if (path === "/") {
      await page.getByRole("heading", { name: "The signer's state is not known" }).waitFor();
      await page.waitForFunction(() => ![...document.querySelectorAll(".tile .value")].some((value) => value.textContent === "Ready"));
    }
    await page.unroute(reads);
    await page.getByRole("button", { name: "Try again" }).first().click();
    await page.waitForFunction(() => !document.querySelector("[data-testid=problem-code]"));
  }
});

test("logging out without the network says that one is still logged in", async () => {
  const { page, context } = alice;
  await page.goto(`${ready.console}/`);
  await page.getByTestId("who").click();
  await context.setOffline(true);
  await page.getByTestId("logout").click();
  await page.getByText("You are still logged in").first().waitFor();
  await context.setOffline(false);
  await page.reload();
  await page.getByTestId("who").waitFor();
});

test("a dialog stays until its request is answered: it cannot be called off, and closes no other one", async () => {
  const { page } = alice;
  await page.goto(`${ready.console}/keys`);
  await page.getByTestId("generate").click();
  const { promise: held, resolve: release } = Promise.withResolvers();
  await page.route("**/admin/v1/keys", async (route) => {
    if (route.request().method() === "POST") await held;
    await route.continue();
  });
  await page.getByTestId("label").fill("slow");
  await page.getByTestId("confirm").click();
  await page.getByText("The HSM is at work").waitFor();
  assert.ok(await page.getByRole("button", { name: "Cancel" }).isDisabled());
  assert.ok(await page.getByRole("button", { name: "Close", exact: true }).first().isDisabled());
  await page.keyboard.press("Escape");
  await page.waitForTimeout(300);
  assert.equal(await page.getByRole("dialog").count(), 1);
  release();
  await page.getByTestId("key-state").waitFor();
  await page.unroute("**/admin/v1/keys");
});

test("a request that is refused for its CSRF value, and then for a stale passkey, is sent once both are mended", async () => {
  const { page } = alice;
  const refusals = ["cross_site_refused", "reauthentication_required"];
  const proofs = [];
  const note = (request) => request.url().endsWith("/console/v1/reauth/finish") && proofs.push(request.method());
  page.on("request", note);
  await page.route("**/admin/v1/keys", (route) => {
    const code = route.request().method() === "POST" && refusals.shift();
    return code ? route.fulfill({ status: 403, contentType: "application/problem+json", body: JSON.stringify({ title: code, status: 403, code }) }) : route.continue();
  });
  await page.goto(`${ready.console}/keys`);
  await page.getByTestId("generate").click();
  await page.getByTestId("label").fill("third time");
  await page.getByTestId("confirm").click();
  await page.getByTestId("key-state").waitFor();
  await page.unroute("**/admin/v1/keys");
  page.off("request", note);
  assert.deepEqual([refusals, proofs], [[], ["POST"]]);
  assert.equal((await keys()).filter(({ label }) => label === "third time").length, 1);
});

test("an emergency that was called off is not remembered", async () => {
  const { page } = alice;
  const profile = profileOf(signer, "ES256");
  const waiting = (await keys()).find((key) => key.profile === profile && key.state === "published");
  // Nobody signs, and the standby may not yet: the signer's answer with these two changes.
  await page.route("**/admin/v1/keys", async (route) => {
    const others = (await keys()).filter(({ state, kid }) => state !== "active" && kid !== waiting.kid);
    await route.fulfill({ json: { keys: [...others, { ...waiting, can_sign_from: new Date(Date.now() + 3_600_000).toISOString() }] } });
  });
  await page.goto(`${ready.console}/keys/${waiting.kid}`);
  await page.getByTestId("step-activate").click();
  assert.ok(await page.getByTestId("confirm").isDisabled());
  await page.getByTestId("emergency").check();
  assert.ok(await page.getByTestId("confirm").isEnabled());
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByTestId("step-activate").click();
  assert.ok(!(await page.getByTestId("emergency").isChecked()));
  assert.ok(await page.getByTestId("confirm").isDisabled());
  await page.keyboard.press("Escape");
  await page.unroute("**/admin/v1/keys");
});

test("an agent's policy: what is saved is seen as the signer keeps it, and what another changes afterwards is seen as well", async () => {
  const { page } = alice;
  const profile = profileOf(signer, "ES256");
  await page.goto(`${ready.console}/agents`);
  await page.getByTestId("invite").click();
  await page.getByTestId("agent-name").fill("billing");
  await page.getByTestId(`profile-${profile}`).check();
  // The code fails once: what is changed before the second try counts.
  await page.route("**/admin/v1/agents/billing:enrol", (route) => route.abort(), { times: 1 });
  await page.getByTestId("confirm").click();
  await page.getByTestId("problem-code").waitFor();
  await page.getByTestId("max-lifetime").fill("120");
  await page.getByTestId("required").fill("job title\nhttps://claims.example/a,b");
  await page.getByTestId("confirm").click();
  await page.getByTestId("agent-code").waitFor();
  await page.getByTestId("done").click();
  const policy = async () => (await ask(ready, "/admin/v1/agents/billing")).policy;
  assert.equal((await policy()).max_lifetime, 120);
  assert.deepEqual((await policy()).required_claims, ["job title", "https://claims.example/a,b"]);

  await page.goto(`${ready.console}/agents/billing`);
  await page.getByTestId("max-lifetime").fill("600");
  await page.getByTestId("save-policy").click();
  await until("it is shown as it is kept", async () => (await page.getByTestId("max-lifetime").inputValue()) === "10m");
  assert.ok(await page.getByTestId("save-policy").isDisabled());
  assert.deepEqual((await policy()).required_claims, ["job title", "https://claims.example/a,b"]);
  await ask(ready, "/admin/v1/agents/billing", { method: "PUT", body: { profiles: [profile], max_lifetime: 300 } });
  await until("another's change is shown", async () => (await page.getByTestId("max-lifetime").inputValue()) === "5m");
  await page.getByTestId("rate").fill("7");
  await ask(ready, "/admin/v1/agents/billing", { method: "PUT", body: { profiles: [profile], max_lifetime: 240 } });
  await page.getByText("Somebody else changed this policy meanwhile").waitFor();
  assert.equal(await page.getByTestId("rate").inputValue(), "7", "what was typed is still there");
  await page.getByRole("button", { name: "Undo changes" }).click();
  assert.equal(await page.getByTestId("max-lifetime").inputValue(), "4m");
});

test("where there are several issuers none is taken for granted, and the chosen one's name is sent", async () => {
  const { page } = alice;
  // Agents' own keys make issuers of their own beside it: that of one agent can be meant.
  const named = { name: "tenant", issuer: `${ready.issuer}/tenant`, agent_issuers: 1 };
  await page.route("**/admin/v1/issuers", async (route) => {
    const { issuers } = await ask(ready, "/admin/v1/issuers");
    await route.fulfill({ json: { issuers: [{ ...issuers[0], agent_issuers: 0 }, { ...issuers[0], ...named }] } });
  });
  const sent = [];
  await page.route("**/admin/v1/revocations", async (route) => {
    if (route.request().method() !== "POST") return route.continue();
    sent.push(route.request().postDataJSON());
    await route.fulfill({ status: 201, json: {} });
  });
  await page.goto(`${ready.console}/edges`);
  for (const [url, name, own] of [[named.issuer, "tenant", {}], [named.issuer, "tenant", { agent: "shop" }], [ready.issuer, "", {}]]) {
    await page.getByTestId("revoke-token").click();
    await page.getByTestId("issuer").waitFor();
    await page.getByTestId("value").fill("one");
    assert.ok(await page.getByTestId("confirm").isDisabled());
    await page.getByTestId("issuer").selectOption(url);
    assert.equal(await page.getByTestId("agent").count(), name ? 1 : 0);
    if (own.agent) await page.getByTestId("agent").fill(own.agent);
    await page.getByTestId("confirm").click();
    await page.getByTestId("confirm").waitFor({ state: "detached" });
    assert.deepEqual(sent.pop(), { kind: "jti", value: "one", issuer: name, ...own });
  }
  await page.unroute("**/admin/v1/issuers");
  await page.unroute("**/admin/v1/revocations");
  // By the signer itself, for the one that there is.
  await page.goto(`${ready.console}/edges`);
  await page.getByTestId("revoke-token").click();
  await page.getByTestId("value").fill("the-one");
  assert.equal(await page.getByTestId("issuer").count(), 0);
  await page.getByTestId("confirm").click();
  await page.getByTestId("revoked-jti-the-one").getByText(ready.issuer, { exact: true }).waitFor();
});

test("the passkey is announced exactly where the signer asks for it", async () => {
  const { page } = alice;
  const announced = async () => {
    await page.getByRole("alertdialog").waitFor();
    const found = await page.getByText("You will be asked for your passkey.").count();
    await page.keyboard.press("Escape");
    await page.getByRole("alertdialog").waitFor({ state: "detached" });
    return found === 1;
  };
  await page.goto(`${ready.console}/users`);
  for (const [act, asks] of [["End all sessions", false], ["Disable", true], ["Change role", true]]) {
    await page.getByTestId("acts-twice").click();
    await page.getByRole("menuitem", { name: act }).click();
    assert.equal(await announced(), asks, act);
  }
  await page.goto(`${ready.console}/profiles`);
  await page.getByTestId("retire-offline").click();
  assert.ok(await announced(), "retiring a profile");
  await ask(ready, "/admin/v1/agents/billing:revoke", { method: "POST" });
  await page.goto(`${ready.console}/agents/billing`);
  await page.getByTestId("delete").click();
  assert.ok(await announced(), "deleting an agent");
});

test("a session that ended asks for the passkey and leads back to where one was; logging out leaves nothing to go back to", async () => {
  const { page, context } = alice;
  await page.goto(`${ready.console}/agents/demo-app`);
  await page.getByTestId("revoke").waitFor();
  await ask(ready, "/admin/v1/users/alice:end-sessions", { method: "POST" });
  await page.getByTestId("login").waitFor(); // by its own next look: nobody has to click
  assert.equal(await page.getByText("demo-app").count(), 0, "what was read is not on the page any more");
  await page.getByTestId("login").click();
  await page.getByTestId("revoke").waitFor();
  assert.equal(new URL(page.url()).pathname, "/agents/demo-app");

  // Another tab logs out: this one must not go on.
  const other = await context.newPage();
  await other.goto(`${ready.console}/`);
  await other.getByTestId("who").click();
  await other.getByRole("menuitem", { name: "Log out" }).click();
  await other.getByTestId("login").waitFor();
  await page.getByTestId("login").waitFor();
  await page.goBack().catch(() => undefined);
  await page.getByTestId("login").waitFor();
  assert.equal(await page.getByText("demo-app").count(), 0);
  await other.close();
  await page.getByTestId("login").click();
  await page.getByTestId("who").waitFor();
});

test("markup in every text that a person or an agent gives stays text, on every page", async () => {
  const { page } = alice;
  const profile = profileOf(signer, "ES256");
  // By the interfaces, since the forms take less.
  await ask(ready, "/admin/v1/keys", { method: "POST", body: { profile, label: HOSTILE[0] } });
  await ask(ready, "/admin/v1/profiles", { method: "POST", body: { name: "markup", settings: { algorithm: "ES256", audiences: HOSTILE.map((one) => one.replaceAll(" ", "/")) } } });
  for (const value of HOSTILE) await ask(ready, "/admin/v1/revocations", { method: "POST", body: { kind: "sub", value } });
  for (const body of [{ name: "eve", role: "auditor", display_name: HOSTILE[0] }, { name: "mallory", role: "auditor", display_name: HOSTILE[4] }]) await ask(ready, "/admin/v1/users", { method: "POST", body });
  // An agent: claims, the profile that it asks for, the audience.
  await issue(ready, { profile, audience: "https://api.example.com", ttl: "5m", claims: { sub: HOSTILE[0], [HOSTILE[1]]: HOSTILE[2] } });
  for (const text of HOSTILE) await askForToken(ready, { profile: text, audience: text, claims: { sub: text } });

  const key = (await keys()).find(({ label }) => label === HOSTILE[0]);
  const paths = ["/", "/keys", `/keys/${key.kid}`, `/keys/${encodeURIComponent(HOSTILE[0])}`, "/profiles", "/agents", `/agents/${encodeURIComponent(HOSTILE[1])}`, "/edges", "/activity", "/audit", "/audit/report", "/users", "/account", `/${encodeURIComponent(HOSTILE[4])}`];
  for (const path of paths) {
    await page.goto(`${ready.console}${path}`);
    await page.locator("h1").first().waitFor();
    await page.waitForFunction(() => !document.querySelector(".skeleton"));
    for (const row of await page.getByTestId("audit-row").all().then((rows) => rows.slice(0, 12))) await row.locator("summary").click();
    assert.deepEqual(await page.evaluate(() => [window.owned ?? null, document.querySelectorAll("img[src=x], svg[onload], [href^=javascript], main script").length]), [null, 0], path);
  }
  await page.goto(`${ready.console}/keys`);
  await page.getByText(HOSTILE[0]).first().waitFor();
  await page.goto(`${ready.console}/users`);
  await page.getByText(HOSTILE[4]).first().waitFor();
  await page.goto(`${ready.console}/account`);
  await page.getByText(HOSTILE[1]).first().waitFor();
  await page.goto(`${ready.console}/edges`);
  for (const text of HOSTILE) await page.getByTestId(`revoked-sub-${text}`).getByText(text, { exact: true }).waitFor({ state: "attached" });
  await page.goto(`${ready.console}/audit`);
  for (const text of HOSTILE) {
    await page.getByTestId("filter-subject").fill(text);
    await page.getByTestId("filter").click();
    await page.waitForTimeout(200);
    assert.equal(await page.evaluate(() => window.owned), undefined);
  }
  // In its title for sharing, as a query, as a fragment: an address that somebody was sent.
  for (const text of HOSTILE) {
    await page.goto(`${ready.console}/audit?subject=${encodeURIComponent(text)}#${encodeURIComponent(text)}`);
    await page.locator("h1").first().waitFor();
    assert.equal(await page.getByTestId("filter-subject").inputValue(), text, "the field has it as text");
    assert.equal(await page.evaluate(() => window.owned), undefined);
  }
  // Scripts have no way in at all: not inline, not by a sink.
  assert.match(await page.evaluate(() => {
    try {
      document.body.innerHTML = "<p>";
      return "allowed";
    } catch (error) {
      return String(error);
    }
  }), /TrustedHTML/);
  alice.problems.splice(0, alice.problems.length, ...alice.problems.filter((problem) => !/TrustedHTML/.test(problem)));
});

test("another site's page, a form of its own and a frame get nothing done", async () => {
  const { context } = alice;
  const before_ = (await keys()).length;
  const foreign = await here.server((_request, response) => response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>foreign</title>"));
  const page = await context.newPage();
  await page.goto(foreign.url);
  const outcome = await page.evaluate(async (console_) => {
    const body = JSON.stringify({ profile: "default" });
    const tries = [
      fetch(`${console_}/admin/v1/keys`, { method: "POST", credentials: "include", headers: { "content-type": "application/json" }, body }),
      fetch(`${console_}/admin/v1/keys`, { method: "POST", credentials: "include", mode: "no-cors", body }),
      fetch(`${console_}/console/v1/session`, { credentials: "include" }),
    ];
    const said = await Promise.all(tries.map((one) => one.then((answer) => answer.type, () => "stopped")));
    const frame = document.createElement("iframe");
    frame.src = `${console_}/`;
    const loaded = new Promise((done) => (frame.onload = done));
    document.body.append(frame);
    await loaded;
    let inside;
    try {
      inside = frame.contentDocument?.body?.innerHTML ?? null;
    } catch {
      inside = null;
    }
    const form = document.createElement("form");
    Object.assign(form, { method: "post", action: `${console_}/console/v1/logout`, target: "_blank", enctype: "text/plain" });
    document.body.append(form);
    form.submit();
    return { said, inside };
  }, ready.console);
  assert.deepEqual(outcome.said, ["stopped", "stopped", "stopped"]);
  assert.ok(!outcome.inside, "the frame shows nothing of the console's");
  assert.deepEqual(page.frames().filter((frame) => frame.url().startsWith(ready.console)).length, 0);
  await page.waitForTimeout(500);
  assert.equal((await keys()).length, before_);
  await alice.page.goto(`${ready.console}/`);
  await alice.page.getByTestId("who").waitFor(); // nobody was logged out
  for (const other of context.pages()) if (other !== alice.page) await other.close();
});

test("an operator sees no administrator's acts, and the signer refuses what the page does not offer", async () => {
  const oscar = await openConsole(browser);
  await acceptInvitation(oscar.page, ready, await invite(alice.page, ready, "oscar", "operator"));
  const { page } = oscar;
  for (const [path, ids] of [["/keys", ["import"]], ["/profiles", ["create-profile", "edit-offline"]]]) {
    await page.goto(`${ready.console}${path}`);
    await page.waitForFunction(() => document.querySelector("h1") && !document.querySelector(".skeleton"));
    for (const id of ids) assert.equal(await page.getByTestId(id).count(), 0, `${id} on ${path}`);
  }
  await page.goto(`${ready.console}/users`);
  await page.getByTestId("user-alice").waitFor();
  for (const id of ["invite", "acts-alice", "acts-oscar"]) assert.equal(await page.getByTestId(id).count(), 0, id);
  const refused = await page.evaluate(async () => {
    const { csrf } = await (await fetch("/console/v1/session")).json();
    const ask = async (method, path, body) => {
      const answer = await fetch(path, { method, headers: { "content-type": "application/json", "x-edgeseal-csrf": csrf }, body: JSON.stringify(body) });
      return [answer.status, (await answer.json()).code];
    };
    return [await ask("POST", "/admin/v1/users/oscar:set-role", { role: "administrator" }), await ask("POST", "/admin/v1/profiles", { name: "oscars", settings: { algorithm: "ES256", audiences: ["x"] } })];
  });
  assert.deepEqual(refused, [[403, "role_denied"], [403, "role_denied"]]);
  assert.deepEqual(oscar.problems, []);
  await oscar.context.close();
});

test("whom a certificate names has no session to end here, and may use a code all the same", async () => {
  const { code } = await ask(ready, "/admin/v1/users", { method: "POST", body: { name: "dora", role: "operator" } });
  const [{ cert, key }] = ready.administrators;
  // The browser's driver shows it from a proxy of its own, with TLS of its own.
  const known = await openConsole(browser, { clientCertificates: [{ origin: new URL(ready.console).origin, certPath: cert, keyPath: key }], ignoreHTTPSErrors: true });
  const { page } = known;
  await page.goto(`${ready.console}/account`);
  await page.getByText("You are known by a client certificate").waitFor();
  for (const id of ["add-passkey", "new-codes", "problem-code"]) assert.equal(await page.getByTestId(id).count(), 0, id);
  await page.getByTestId("who").click();
  await page.getByRole("menuitem", { name: "Your account" }).waitFor();
  assert.equal(await page.getByTestId("logout").count(), 0);
  await page.goto(`${ready.console}/invitation`);
  await page.getByTestId("code").fill(code);
  await page.getByTestId("check-code").click();
  await page.getByTestId("make-passkey").waitFor();
  assert.equal(await page.getByTestId("name").inputValue(), "dora");
  await known.context.close();
});

test("the log of all this is whole, and nothing broke the policy or threw", async () => {
  const { page } = alice;
  await page.goto(`${ready.console}/audit`);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByTestId("export").click()]);
  const file = join(here.directory, "export.jsonl");
  await download.saveAs(file);
  assert.equal((await cli(["audit", "verify", file])).code, 0);
  assert.deepEqual(alice.problems, []);
});
