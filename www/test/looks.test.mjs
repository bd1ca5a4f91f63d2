// What everybody must be able to read and reach: axe in both themes at three widths, no sideways scrolling, no cut word, the keyboard.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { cutWords } from "../../tests/support/legible.mjs";
import { launchChromium, openPlayground, serveDist, verdict } from "./support.mjs";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SCENES = { empty: undefined, accepted: "example", rejected: "tamper-audience", lax: "skip-issuer" };

let server;
let browser;

before(async () => {
  server = await serveDist();
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [360, 768, 1440]) {
    test(`${width} px, ${colorScheme}: axe finds nothing, nothing scrolls sideways and no word is cut`, async () => {
      const page = await browser.newPage({ colorScheme, viewport: { width, height: 900 }, reducedMotion: "reduce" });
      await openPlayground(page, server.origin);
      for (const [scene, button] of Object.entries(SCENES)) {
        if (button !== undefined) await page.getByTestId(button).click();
        await verdict(page);
        await page.$$eval("details", (folded) => folded.forEach((details) => (details.open = true)));
        await page.evaluate(AXE);
        const violations = await page.evaluate(async () => (await globalThis.axe.run()).violations);
        assert.deepEqual(
          violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`),
          [],
          scene,
        );
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.equal(overflow, 0, `${scene} scrolls sideways by ${overflow} px`);
        assert.deepEqual(await cutWords(page), [], scene);
      }
      await page.close();
    });
  }
}

test("the keyboard alone loads the example, breaks the policy and verifies", async () => {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  await openPlayground(page, server.origin);
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "Skip to the verdict");
  await tabTo(page, "example");
  await page.keyboard.press("Enter");
  assert.equal((await verdict(page)).state, "accepted");

  await tabTo(page, "algorithm-RS256");
  await page.keyboard.press("Space");
  assert.equal((await verdict(page)).state, "accepted");
  await tabTo(page, "typ");
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type("JWT");
  await page.keyboard.press("Control+Enter");
  assert.equal((await verdict(page)).code, "type_mismatch");
  await tabTo(page, "claims");
  await page.close();
});

test("on a small screen the verdict is in sight while its panel is not", async () => {
  const page = await browser.newPage({ viewport: { width: 360, height: 700 } });
  await openPlayground(page, server.origin);
  assert.equal(await page.locator("#glance").isVisible(), false);
  await page.getByTestId("tamper-expiry").click();
  await verdict(page);
  assert.match(await page.locator("#glance").innerText(), /Rejected · token_expired/);
  await page.locator("#glance").click();
  await page.getByTestId("verdict").waitFor();
  await page.locator("#glance").waitFor({ state: "hidden" });
  await page.close();
});

function focused(page) {
  return page.evaluate(() => document.activeElement.dataset.testid ?? document.activeElement.textContent.trim());
}

async function tabTo(page, name) {
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press("Tab");
    if ((await focused(page)) === name) return;
  }
  assert.fail(`${name} is not reached by the Tab key`);
}
