// What everybody must be able to read and reach in the console: axe on every page in both themes, no sideways scrolling and
// no cut word from 360 px up, the main tasks by keyboard alone, both languages. A real signer stands behind it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { ask, openConsole, openTrusting } from "../support/console.mjs";
import { bench, profileOf, tokenOf } from "../support/harness.mjs";
import { cutWords } from "../support/legible.mjs";
import { root } from "../support/paths.mjs";
import { freePorts } from "../support/ports.mjs";
import { cli, startSigner } from "../support/signer.mjs";
import { until } from "../support/wait.mjs";

const AXE = readFileSync(join(root, "www/node_modules/axe-core/axe.min.js"), "utf8");
const here = bench("console-looks");
let signer, ready, browser, alice, pages;

before(async () => {
  const [publicPort, agentsPort, adminPort] = await freePorts(3);
  signer = await startSigner({ directory: join(here.directory, "signer"), publicPort, agentsPort, mark: here.mark, args: ["--alg", "ES256", "--alg", "RS256", "--admin", `127.0.0.1:${adminPort}`] });
  here.cleanup(() => signer.stop());
  ({ ready } = signer);
  browser = await openTrusting(ready.ca, join(here.directory, "browser"));
  here.cleanup(() => browser.close());
  for (let i = 0; i < 5; i += 1) await tokenOf(signer);
});

/** Findings of axe, whatever their weight. The policy allows no script from outside, so it comes in by the debugger. */
async function findings(page) {
  await page.evaluate(AXE);
  const violations = await page.evaluate(async () => (await globalThis.axe.run()).violations);
  return violations.map(({ id, impact, nodes }) => `${id} (${impact}): ${nodes.map(({ target }) => target.join(" ")).join(", ")}`);
}

async function look(page, what) {
  assert.deepEqual(await findings(page), [], what);
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(over, 0, `${what} scrolls sideways by ${over} px`);
  assert.deepEqual(await cutWords(page), [], what);
}

for (const colorScheme of ["light", "dark"]) {
  test(`${colorScheme}: set-up, before anybody is there`, async () => {
    const { page, context } = await openConsole(browser, { colorScheme });
    await page.goto(`${ready.console}/`);
    await page.getByTestId("code").waitFor();
    await look(page, "set-up");
    await context.close();
  });
}

test("the first person comes in by keyboard alone", async () => {
  alice = await openConsole(browser);
  const { page } = alice;
  await page.goto(`${ready.console}/`);
  await page.getByTestId("code").waitFor();
  await page.keyboard.type(readFileSync(ready.setup_code_file, "utf8").trim());
  await page.keyboard.press("Enter");
  await page.getByTestId("make-passkey").waitFor();
  await tabTo(page, "name");
  await page.keyboard.type("alice");
  await page.keyboard.press("Enter");
  await page.getByTestId("codes-kept").waitFor();
  await look(page, "recovery codes");
  await tabTo(page, "codes-kept");
  await page.keyboard.press("Enter");
  await page.getByTestId("who").waitFor();
  const key = (await ask(ready, "/admin/v1/keys")).keys.find(({ state, purpose }) => state === "active" && purpose === "token");
  pages = ["/", "/keys", `/keys/${key.kid}`, "/profiles", "/agents", "/agents/demo-app", "/edges", "/activity", "/audit", "/audit/report", "/users", "/account", "/nowhere"];
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [360, 768, 1440]) {
    test(`${width} px, ${colorScheme}: on every page axe finds nothing, nothing scrolls sideways and no word is cut`, async () => {
      const { page } = alice;
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.setViewportSize({ width, height: 900 });
      for (const path of pages) {
        await page.goto(`${ready.console}${path}`);
        await settled(page);
        await look(page, path);
      }
    });
  }
}

test("dialogs are clean too", async () => {
  const { page } = alice;
  await page.setViewportSize({ width: 360, height: 800 });
  for (const [path, id] of [["/keys", "generate"], ["/keys", "rotate"], ["/keys", "import"], ["/profiles", "create-profile"], ["/agents", "invite"], ["/users", "invite"], ["/edges", "revoke-token"]]) {
    await page.goto(`${ready.console}${path}`);
    await settled(page);
    await page.getByTestId(id).click();
    await page.locator("[role=dialog], [role=alertdialog]").waitFor();
    await look(page, `${id} on ${path}`);
  }
  await page.goto(`${ready.console}/`);
  await settled(page);
  await page.getByRole("button", { name: "Open navigation" }).click();
  await page.getByRole("dialog").waitFor();
  await look(page, "navigation");
  await page.setViewportSize({ width: 1440, height: 900 });
});

for (const colorScheme of ["light", "dark"]) {
  test(`360 px, ${colorScheme}: log-in, recovery and invitation are clean too`, async () => {
    const options = { colorScheme, viewport: { width: 360, height: 800 } };
    const { code } = await ask(ready, "/admin/v1/users", { method: "POST", body: { name: `looks-${colorScheme}`, role: "auditor" } });
    const invited = await openConsole(browser, options);
    await invited.page.goto(`${ready.console}/invitation`);
    await invited.page.getByTestId("code").waitFor();
    await look(invited.page, "invitation");
    await invited.page.getByTestId("code").fill(code);
    await invited.page.getByTestId("check-code").click();
    await invited.page.getByTestId("make-passkey").waitFor();
    await look(invited.page, "an invitation's passkey");
    await invited.page.getByTestId("make-passkey").click();
    const shown = invited.page.getByTestId("recovery-codes").locator("li");
    await shown.first().waitFor();
    await look(invited.page, "an invitation's recovery codes");
    const [recovery] = await shown.allTextContents();
    await invited.context.close();

    const { page, context } = await openConsole(browser, options);
    await page.goto(`${ready.console}/`);
    await page.getByTestId("login").waitFor();
    await look(page, "log-in");
    await page.getByText("My passkey is lost").click();
    await page.getByTestId("recover").waitFor();
    await look(page, "recovery");
    await page.getByTestId("name").fill(`looks-${colorScheme}`);
    await page.getByTestId("code").fill(recovery);
    await page.getByTestId("recover").click();
    await page.getByRole("heading", { name: "Make a new passkey" }).waitFor();
    await look(page, "a new passkey");
    await context.close();
  });
}

test("keyboard alone: a key is generated, takes over, and is declared compromised", async () => {
  const { page } = alice;
  const profile = profileOf(signer, "ES256");
  const keys = async () => (await ask(ready, "/admin/v1/keys")).keys.filter((key) => key.profile === profile);
  await page.goto(`${ready.console}/`);
  await settled(page);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the page");
  await tabToText(page, "Keys");
  await page.keyboard.press("Enter");
  await page.getByTestId("generate").waitFor();
  await tabTo(page, "generate");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await tabTo(page, "profile");
  await page.keyboard.press("Home");
  for (let i = 0; i < 20 && (await page.getByTestId("profile").inputValue()) !== profile; i += 1) await page.keyboard.press("ArrowDown");
  await tabTo(page, "label");
  await page.keyboard.type("by keyboard");
  await page.keyboard.press("Enter");
  await page.getByTestId("key-state").waitFor();
  const made = await until("the key is there", async () => (await keys()).find(({ label }) => label === "by keyboard"));
  assert.equal(made.state, "published");

  await tabTo(page, "step-activate");
  await page.keyboard.press("Enter");
  await page.getByRole("alertdialog").waitFor();
  await tabTo(page, "confirm");
  await page.keyboard.press("Enter");
  await until("it signs", async () => (await keys()).find(({ kid }) => kid === made.kid).state === "active");

  await tabTo(page, "step-compromise");
  await page.keyboard.press("Enter");
  await page.getByRole("alertdialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("alertdialog").waitFor({ state: "detached" });
  assert.equal(await focused(page), "step-compromise", "the focus is where it was");
  await page.keyboard.press("Enter");
  await page.getByRole("alertdialog").waitFor();
  await tabTo(page, "confirm");
  await page.keyboard.press("Enter");
  await until("it is compromised", async () => (await keys()).find(({ kid }) => kid === made.kid).state === "compromised");
});

test("keyboard alone: an RSA key is generated, and the standby takes over by rotation", async () => {
  const { page } = alice;
  const profile = profileOf(signer, "RS256");
  const of = async () => (await ask(ready, "/admin/v1/keys")).keys.filter((key) => key.profile === profile);
  await open(page, "/keys", "generate");
  await choose(page, "profile", profile);
  await write(page, "label", "RSA by keyboard");
  await page.keyboard.press("Enter");
  await page.getByTestId("key-state").waitFor();
  const made = (await of()).find(({ label }) => label === "RSA by keyboard");
  assert.equal(made.key, "RSA 2048");
  const before_ = (await of()).find(({ state }) => state === "active");

  await open(page, "/keys", "rotate");
  await choose(page, "profile", profile);
  await press(page, "confirm");
  await until("the standby signs", async () => (await of()).find(({ state }) => state === "active")?.kid !== before_.kid);
  assert.equal((await of()).find(({ kid }) => kid === before_.kid).state, "retiring");
});

test("keyboard alone: a profile is created, its mistakes mended, and changed afterwards", async () => {
  const { page } = alice;
  await open(page, "/profiles", "create-profile");
  await write(page, "profile-name", "By Keyboard");
  await choose(page, "profile-algorithm", "PS384");
  await choose(page, "profile-rsaBits", "3072");
  await write(page, "profile-maxLifetime", "2d");
  await page.keyboard.press("Enter");
  await until("the focus is at the first mistake", async () => (await focused(page)) === "profile-name");
  const wrong = (id) => page.locator(`#${id}-wrong`).textContent();
  const idOf = (field) => page.getByTestId(field).getAttribute("id");
  assert.match(await wrong(await idOf("profile-name")), /1 to 64 characters/);
  assert.match(await wrong(await idOf("profile-audiences")), /at least one audience/);
  await look(page, "a profile's mistakes");
  await write(page, "profile-name", "keyboard");
  await write(page, "profile-audiences", "https://one.example\nhttps://two.example");
  await write(page, "profile-maxLifetime", "30m");
  await write(page, "profile-defaultLifetime", "5m");
  await tabTo(page, "mode-sd");
  await page.keyboard.press("Space");
  await write(page, "profile-typ", "at+jwt");
  await write(page, "profile-maxSession", "8h");
  await write(page, "profile-rotateAfter", "30d");
  await press(page, "confirm");
  await page.getByTestId("confirm").waitFor({ state: "detached" });
  const made = await ask(ready, "/admin/v1/profiles/keyboard");
  assert.deepEqual(
    [made.algorithm, made.rsa_bits, made.audiences, made.max_lifetime, made.default_lifetime, made.modes, made.typ, made.max_session],
    ["PS384", 3072, ["https://one.example", "https://two.example"], 1_800, 300, ["claims", "sd"], "at+jwt", 28_800],
  );

  await press(page, "edit-keyboard");
  await page.getByTestId("profile-audiences").waitFor();
  await write(page, "profile-audiences", "https://three.example");
  await tabTo(page, "mode-sd");
  await page.keyboard.press("Space");
  await write(page, "profile-defaultLifetime", "");
  await press(page, "confirm");
  await page.getByTestId("confirm").waitFor({ state: "detached" });
  const changed = await ask(ready, "/admin/v1/profiles/keyboard");
  assert.deepEqual([changed.audiences, changed.modes, changed.max_lifetime, changed.settings.default_lifetime ?? null], [["https://three.example"], ["claims"], 1_800, null]);
  await until("the focus is back", async () => (await focused(page)) === "edit-keyboard");
});

test("keyboard alone: an agent is invited, enrols, gets another policy, and is revoked", async () => {
  const { page } = alice;
  const profile = profileOf(signer, "ES256");
  await open(page, "/agents", "invite");
  await write(page, "agent-name", "keyboard");
  await tabTo(page, `profile-${profile}`);
  await page.keyboard.press("Space");
  await press(page, "confirm");
  await page.getByTestId("agent-code").waitFor();
  await look(page, "one-time code");
  assert.ok((await ask(ready, "/admin/v1/agents/keyboard")).invited_until);
  const code = (await page.getByTestId("agent-code").textContent()).trim();
  const [, ...args] = (await page.getByTestId("agent-command").textContent()).trim().split(/\s+/);
  assert.equal((await cli([...args, "--out", join(here.directory, "keyboard")], { input: `${code}\n` })).code, 0);
  await press(page, "done");
  await page.getByTestId("done").waitFor({ state: "detached" });

  await tabToText(page, "keyboard");
  await page.keyboard.press("Enter");
  await page.getByTestId("save-policy").waitFor();
  await write(page, "max-lifetime", "2m");
  await press(page, "save-policy");
  await until("the policy is saved", async () => (await ask(ready, "/admin/v1/agents/keyboard")).policy.max_lifetime === 120);
  await press(page, "revoke");
  await page.getByRole("alertdialog").waitFor();
  await press(page, "confirm");
  await until("it is revoked", async () => (await ask(ready, "/admin/v1/agents/keyboard")).revoked_at);
});

test("keyboard alone: two people destroy a key, and the second comes in by an invitation", async () => {
  const { page } = alice;
  await open(page, "/users", "invite");
  await write(page, "name", "bob");
  await choose(page, "role", "administrator");
  await press(page, "confirm");
  const code = (await page.getByTestId("user-code").textContent()).trim();
  await look(page, "a user's one-time code");
  await press(page, "done");
  await page.getByTestId("done").waitFor({ state: "detached" });

  const key = (await ask(ready, "/admin/v1/keys")).keys.find(({ state }) => state === "compromised");
  await page.goto(`${ready.console}/keys/${key.kid}`);
  await settled(page);
  await press(page, "step-schedule-destroy");
  await page.getByRole("alertdialog").waitFor();
  await write(page, "days", "9");
  await press(page, "confirm");
  await page.getByTestId("withdraw").waitFor();

  const bob = await openConsole(browser);
  await bob.page.goto(`${ready.console}/invitation`);
  await bob.page.getByTestId("code").waitFor();
  await bob.page.keyboard.type(code);
  await bob.page.keyboard.press("Enter");
  await bob.page.getByTestId("make-passkey").waitFor();
  await press(bob.page, "make-passkey");
  await bob.page.getByTestId("codes-kept").waitFor();
  await press(bob.page, "codes-kept");
  await bob.page.getByTestId("attention-proposal").waitFor();
  await tabToText(bob.page, "Look at the key");
  await bob.page.keyboard.press("Enter");
  await bob.page.getByTestId("approve").waitFor();
  await press(bob.page, "approve");
  await bob.page.getByRole("alertdialog").waitFor();
  await press(bob.page, "confirm");
  await until("it is scheduled", async () => (await ask(ready, "/admin/v1/keys")).keys.find(({ kid }) => kid === key.kid).state === "destroy_scheduled");
  assert.deepEqual(bob.problems, []);
  await bob.context.close();

  // What the row's menu offers is reached by keyboard too: bob becomes an auditor.
  await page.goto(`${ready.console}/users`);
  await settled(page);
  await tabTo(page, "acts-bob");
  await page.keyboard.press("Enter");
  await page.getByRole("menu").waitFor();
  await look(page, "a user's menu");
  await until("the first entry has the focus", () => page.evaluate(() => document.activeElement.textContent === "Change role"));
  await page.keyboard.press("Enter");
  await page.getByRole("alertdialog").waitFor();
  assert.ok(await page.getByTestId("confirm").isDisabled(), "he has this role");
  assert.match(await page.getByRole("alertdialog").innerText(), /sessions of this person end[\s\S]*only after the wait/);
  await choose(page, "role", "auditor");
  await press(page, "confirm");
  await until("bob is an auditor", async () => (await ask(ready, "/admin/v1/users")).users.find(({ name }) => name === "bob").role === "auditor");
});

test("keyboard alone: a subject's tokens are revoked", async () => {
  const { page } = alice;
  await open(page, "/edges", "revoke-token");
  await choose(page, "kind", "sub");
  await write(page, "value", "mallory");
  await press(page, "confirm");
  await until("it is revoked", async () => (await ask(ready, "/admin/v1/revocations")).revocations.some(({ kind }) => kind === "sub"));
});

test("keyboard alone: the audit is searched, a row is read, and the log is exported", async () => {
  const { page } = alice;
  await page.goto(`${ready.console}/audit`);
  await settled(page);
  await write(page, "filter-action", "users.set_role");
  await page.keyboard.press("Enter");
  await until("the action is shown as one searches for it", async () => /users\.set_role/.test(await page.getByTestId("audit-row").first().innerText()));
  await write(page, "filter-action", "agents.invite");
  await page.keyboard.press("Enter");
  await until("the rows are filtered", async () => {
    const actions = await page.getByTestId("audit-row").evaluateAll((rows) => rows.map((row) => row.dataset.action));
    return actions.length > 0 && actions.every((action) => action === "agents.invite");
  });
  for (let presses = 0; presses < 60 && (await page.evaluate(() => document.activeElement.tagName)) !== "SUMMARY"; presses += 1) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  const row = JSON.parse(await page.locator("[data-testid=audit-row][open] pre").textContent());
  assert.deepEqual([row.action, row.actor], ["agents.invite", "admin:alice"]);
  await tabTo(page, "export");
  const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]);
  const file = join(here.directory, "export.jsonl");
  await download.saveAs(file);
  assert.equal((await cli(["audit", "verify", file])).code, 0);
});

test("keyboard alone: out, and in again with the passkey", async () => {
  const { page } = alice;
  await page.goto(`${ready.console}/`);
  await settled(page);
  await tabTo(page, "who");
  await page.keyboard.press("Enter");
  await page.getByRole("menu").waitFor();
  await page.keyboard.press("End");
  await page.keyboard.press("Enter");
  await page.getByTestId("login").waitFor();
  await press(page, "login");
  await page.getByTestId("who").waitFor();
});

test("a page that cannot be loaded says so in its place, and is there after a reload, by keyboard alone", async () => {
  const { page } = alice;
  await page.goto(`${ready.console}/`);
  await settled(page);
  await page.route("**/assets/users-*.js", (route) => route.abort());
  await tabToText(page, "Users");
  await page.keyboard.press("Enter");
  await page.getByTestId("page-failed").waitFor();
  assert.equal(await page.getByTestId("problem-code").textContent(), "page_not_loaded");
  await look(page, "a page that could not be loaded");
  await tabToText(page, "Audit log");
  await page.keyboard.press("Enter");
  await page.getByTestId("audit-rows").waitFor();
  await page.goBack();
  await page.getByTestId("page-failed").waitFor();
  await page.unroute("**/assets/users-*.js");
  await press(page, "reload");
  await page.getByTestId("user-alice").waitFor();
  // React says what a boundary has caught.
  alice.problems.splice(0, alice.problems.length, ...alice.problems.filter((problem) => !/dynamically imported module/.test(problem)));
});

test("without its Korean texts the console is in English, and says so", async () => {
  const { page, context, problems } = await openConsole(browser, { locale: "ko-KR" });
  await page.route("**/assets/ko-*.js", (route) => route.abort());
  await page.goto(`${ready.console}/`);
  await page.getByTestId("login").waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), "en");
  await page.unroute("**/assets/ko-*.js");
  await page.reload();
  await page.getByTestId("login").waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), "ko");
  assert.deepEqual(problems, []);
  await context.close();
});

test("Korean: every page is, and says so", async () => {
  const { page } = alice;
  await page.goto(`${ready.console}/`);
  await page.getByTestId("who").click();
  await page.getByRole("menuitemradio", { name: "한국어" }).click();
  await page.getByRole("link", { name: "감사 로그" }).first().waitFor();
  for (const path of pages) {
    await page.goto(`${ready.console}${path}`);
    await settled(page);
    assert.equal(await page.evaluate(() => document.documentElement.lang), "ko");
    await look(page, `${path} in Korean`);
  }
});

test("the first load is at most 350 KB as it crosses the wire", { skip: process.env.EDGESEAL_CONSOLE_DIST && "pages from a folder are not compressed" }, async () => {
  const fresh = await openConsole(browser);
  const devtools = await fresh.context.newCDPSession(fresh.page);
  await devtools.send("Network.enable");
  let octets = 0;
  devtools.on("Network.loadingFinished", ({ encodedDataLength }) => (octets += encodedDataLength));
  await fresh.page.goto(`${ready.console}/`);
  await fresh.page.getByTestId("login").waitFor();
  await fresh.page.waitForTimeout(500);
  assert.ok(octets > 50_000 && octets <= 350 * 1024, `${octets} octets`);
  console.log(`  first load: ${(octets / 1024).toFixed(0)} KiB with headers`);
  assert.deepEqual(fresh.problems, []);
  assert.deepEqual(alice.problems, []);
  await fresh.context.close();
});

async function settled(page) {
  await page.locator("h1").first().waitFor();
  await page.waitForFunction(() => !document.querySelector(".skeleton"));
}

/** A page, and what its button opens, by keyboard. */
async function open(page, path, button) {
  await page.goto(`${ready.console}${path}`);
  await settled(page);
  await press(page, button);
  await page.locator(".dialog").waitFor();
}

async function press(page, testId) {
  await tabTo(page, testId);
  await page.keyboard.press("Enter");
}

/** Another text instead of the one that stands in the field. */
async function write(page, testId, text) {
  await tabTo(page, testId);
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.press("Delete");
  await page.keyboard.type(text);
  assert.equal(await page.getByTestId(testId).inputValue(), text);
}

async function choose(page, testId, value) {
  await tabTo(page, testId);
  await page.keyboard.press("Home");
  for (let i = 0; i < 30 && (await page.getByTestId(testId).inputValue()) !== value; i += 1) await page.keyboard.press("ArrowDown");
  assert.equal(await page.getByTestId(testId).inputValue(), value);
}

function focused(page) {
  return page.evaluate(() => document.activeElement.dataset.testid ?? "");
}

async function tabTo(page, testId) {
  for (let presses = 0; presses < 120; presses += 1) {
    if ((await focused(page)) === testId) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`${testId} is not reached by the Tab key`);
}

async function tabToText(page, text) {
  for (let presses = 0; presses < 120; presses += 1) {
    if ((await page.evaluate(() => document.activeElement.textContent.trim())) === text) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`${text} is not reached by the Tab key`);
}
