// What everybody must be able to read and reach in the console: axe on every page in both themes, no sideways scrolling from
// 360 px up, the main tasks by keyboard alone, both languages. A real signer stands behind it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { ask, openConsole, openTrusting } from "../support/console.mjs";
import { bench, profileOf, tokenOf } from "../support/harness.mjs";
import { root } from "../support/paths.mjs";
import { freePorts } from "../support/ports.mjs";
import { startSigner } from "../support/signer.mjs";
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
    test(`${width} px, ${colorScheme}: axe finds nothing on any page, and nothing scrolls sideways`, async () => {
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

test("keyboard alone: an agent is invited, and the audit is searched", async () => {
  const { page } = alice;
  await page.goto(`${ready.console}/agents`);
  await settled(page);
  await tabTo(page, "invite");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await tabTo(page, "agent-name");
  await page.keyboard.type("keyboard");
  await tabTo(page, `profile-${profileOf(signer, "ES256")}`);
  await page.keyboard.press("Space");
  await tabTo(page, "confirm");
  await page.keyboard.press("Enter");
  await page.getByTestId("agent-code").waitFor();
  await look(page, "one-time code");
  assert.ok((await ask(ready, "/admin/v1/agents/keyboard")).invited_until);
  await tabTo(page, "done");
  await page.keyboard.press("Enter");

  await page.goto(`${ready.console}/audit`);
  await settled(page);
  await tabTo(page, "filter-action");
  await page.keyboard.type("agents.invite");
  await page.keyboard.press("Enter");
  await until("the rows are filtered", async () => {
    const actions = await page.getByTestId("audit-row").evaluateAll((rows) => rows.map((row) => row.dataset.action));
    return actions.length > 0 && actions.every((action) => action === "agents.invite");
  });
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

test("the first load is at most 350 KB as it crosses the wire", async () => {
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
