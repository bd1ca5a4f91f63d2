// Screenshots of the console from a running signer: every page at three widths in both themes into target/screens/console.
// With --readme also the README's into www/site/screens, with --readme-only those alone. Part of `make screens`;
// `node tests/demo/console-screens.mjs [--readme|--readme-only]`

import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ask, openConsole, openTrusting, setUp } from "../support/console.mjs";
import { root, target } from "../support/paths.mjs";
import { freePorts } from "../support/ports.mjs";
import { issue, startSigner } from "../support/signer.mjs";

const out = join(target, "screens/console");
const directory = join(target, "screens/signer");
rmSync(directory, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

const [publicPort, agentsPort, adminPort] = await freePorts(3);
const signer = await startSigner({ directory, publicPort, agentsPort, mark: `screens-${Date.now()}`, args: ["--admin", `127.0.0.1:${adminPort}`] });
let browser;
try {
  const { ready } = signer;
  browser = await openTrusting(ready.ca, join(directory, "browser"));
  const { page, context } = await openConsole(browser);
  context.setDefaultTimeout(60_000); // long pages, on a machine that may be busy
  for (const [width, colorScheme] of looks()) {
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.goto(`${ready.console}/`);
    await page.getByTestId("code").waitFor();
    await page.screenshot({ path: join(out, `set-up-${width}-${colorScheme}.png`), fullPage: true });
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  await setUp(page, ready, "alice");
  await live(ready);
  const going = keepIssuing(ready);

  const keys = (await ask(ready, "/admin/v1/keys")).keys;
  const key = keys.find(({ label }) => label === "autumn");
  const pages = { overview: "/", keys: "/keys", key: `/keys/${key.kid}`, profiles: "/profiles", agents: "/agents", agent: "/agents/demo-app", "revoked-agent": "/agents/old-app", edges: "/edges", activity: "/activity", audit: "/audit", report: "/audit/report", users: "/users", account: "/account" };
  for (const [width, colorScheme] of looks()) {
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    for (const [name, path] of Object.entries(pages)) {
      await show(page, `${ready.console}${path}`);
      await page.screenshot({ path: join(out, `${name}-${width}-${colorScheme}.png`), fullPage: true });
    }
    for (const [name, [path, id]] of Object.entries({ "new-profile": ["/profiles", "create-profile"], import: ["/keys", "import"], generate: ["/keys", "generate"], "invite-agent": ["/agents", "invite"], "invite-user": ["/users", "invite"], rotate: ["/keys", "rotate"], revoke: ["/edges", "revoke-token"] })) {
      await show(page, `${ready.console}${path}`);
      await page.getByTestId(id).click();
      await page.locator("[role=dialog], [role=alertdialog]").waitFor();
      // It is in the document before it is painted.
      await page.evaluate(() => new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted))));
      await page.screenshot({ path: join(out, `dialog-${name}-${width}-${colorScheme}.png`) });
    }
  }
  if (process.argv.some((word) => word.startsWith("--readme"))) {
    await page.setViewportSize({ width: 1280, height: 860 });
    for (const [name, path, colorScheme] of [["console-keys", "/keys", "light"], ["console-overview", "/", "dark"]]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await show(page, `${ready.console}${path}`);
      await page.screenshot({ path: join(root, `www/site/screens/${name}.png`) });
    }
  }
  await going.stop();
} finally {
  await browser?.close();
  await signer.stop();
}

function looks() {
  if (process.argv.includes("--readme-only")) return [];
  return [360, 768, 1440].flatMap((width) => ["light", "dark"].map((theme) => [width, theme]));
}

async function show(page, url) {
  await page.goto(url);
  await page.locator("h1").first().waitFor();
  await page.waitForFunction(() => !document.querySelector(".skeleton"));
  await page.evaluate(() => document.fonts.ready);
  await page.waitForTimeout(300);
}

/** Something to see: tokens, refusals, keys in several states. */
async function live(ready) {
  const [first, second, third] = ready.profiles.map(({ name }) => name);
  await ask(ready, "/admin/v1/profiles", { method: "POST", body: { name: "partners", settings: { algorithm: "ES256", audiences: ["https://partners.example"], modes: ["claims", "sd"], typ: "at+jwt", max_session: "8h" } } });
  const partners = await ask(ready, "/admin/v1/keys", { method: "POST", body: { profile: "partners" } });
  await ask(ready, `/admin/v1/keys/${partners.kid}:activate`, { method: "POST" });
  await ask(ready, "/admin/v1/keys", { method: "POST", body: { profile: first, label: "winter" } });
  const made = await ask(ready, "/admin/v1/keys", { method: "POST", body: { profile: first, label: "autumn" } });
  await ask(ready, `/admin/v1/keys/${made.kid}:activate`, { method: "POST" });
  const signing = (await ask(ready, "/admin/v1/keys")).keys.filter(({ state, purpose }) => state === "active" && purpose === "token");
  const of = (profile) => signing.find((key) => key.profile === profile)?.kid;
  if (second && of(second)) await ask(ready, `/admin/v1/keys/${of(second)}:compromise`, { method: "POST" });
  if (third && of(third)) await ask(ready, `/admin/v1/keys/${of(third)}:suspend`, { method: "POST" });
  await ask(ready, "/admin/v1/agents", { method: "POST", body: { name: "old-app", policy: { profiles: [first], audiences: ["https://api.example.com"] } } });
  await ask(ready, "/admin/v1/agents/old-app:revoke", { method: "POST" });
  for (let i = 0; i < 60; i += 1) {
    await issue(ready, { profile: first, audience: "https://api.example.com", ttl: "10m", claims: { sub: "alice" } });
    if (i % 12 === 0) await issue(ready, { profile: "unknown", audience: "https://api.example.com", claims: {} }).catch(() => undefined);
  }
}

/** Tokens all the while, so that rates and latencies are those of a signer at work. */
function keepIssuing(ready) {
  let stopped = false;
  const profile = ready.profiles[0].name;
  const loop = (async () => {
    for (let i = 0; !stopped; i += 1) {
      await issue(ready, { profile, audience: "https://api.example.com", ttl: "10m", claims: { sub: "alice" } }).catch(() => undefined);
      await new Promise((done) => setTimeout(done, 120 + 100 * Math.sin(i / 12)));
    }
  })();
  return {
    stop() {
      stopped = true;
      return loop;
    },
  };
}
