// The signer's console in a real Chromium: the development CA in its certificate store, since a passkey needs clean TLS, and
// an authenticator of the browser's own making.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { get } from "node:https";
import { extname, join } from "node:path";
import { chromium as playwright } from "playwright-core";
import { FLAGS } from "./browser.mjs";
import { call } from "./http.mjs";
import { chromium } from "./paths.mjs";

/** A Chromium that trusts this CA, with a home of its own. */
export async function openTrusting(caFile, directory) {
  mkdirSync(directory, { recursive: true });
  const home = mkdtempSync(join(directory, "home-"));
  const database = join(home, ".pki/nssdb");
  mkdirSync(database, { recursive: true });
  const certutil = (...args) => execFileSync("certutil", ["-d", `sql:${database}`, ...args], { stdio: "pipe" });
  certutil("-N", "--empty-password");
  certutil("-A", "-t", "C,,", "-n", "edgeseal development", "-i", caFile);
  return playwright.launch({
    executablePath: chromium(),
    headless: true,
    env: { ...process.env, HOME: home },
    args: FLAGS,
  });
}

/** A page with an authenticator: `problems` is what the browser complains of, violations of the policy included. */
export async function openConsole(browser, options = {}) {
  const context = await browser.newContext({ acceptDownloads: true, reducedMotion: "reduce", locale: "en-US", viewport: { width: 1440, height: 900 }, ...options });
  context.setDefaultTimeout(20_000);
  if (process.env.EDGESEAL_CONSOLE_DIST) await serveFrom(process.env.EDGESEAL_CONSOLE_DIST, context);
  const page = await context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(`page: ${error.message}`));
  page.on("console", (message) => {
    // Refusals are shown by the page itself; that the browser lists them too is no fault.
    if (message.type() === "error" && !/Failed to load resource/.test(message.text())) problems.push(message.text());
  });
  const devtools = await context.newCDPSession(page);
  await devtools.send("WebAuthn.enable");
  const { authenticatorId } = await devtools.send("WebAuthn.addVirtualAuthenticator", {
    options: { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  });
  const present = (enabled) => devtools.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: enabled });
  return { context, page, problems, present };
}

/** The pages of a folder instead of those that the signer embeds, under the signer's own headers: it need not be built again for each change. */
async function serveFrom(folder, context) {
  await context.route(/^https:\/\/[^/]+\/(?!admin\/|console\/v1\/|openapi)/, async (route) => {
    const { pathname, origin } = new URL(route.request().url());
    const headers = await headersOf(`${origin}/`);
    const found = pathname !== "/" && existsSync(join(folder, pathname)) ? pathname : "/index.html";
    await route.fulfill({ headers: { ...headers, "content-type": TYPES[extname(found)] }, body: readFileSync(join(folder, found)) });
  });
}

/** What the signer says with its page. Only headers are read, so that its certificate does not matter here. */
function headersOf(url) {
  return new Promise((resolve, reject) => {
    get(url, { rejectUnauthorized: false }, (answer) => {
      answer.resume();
      const { "content-encoding": _, "content-length": __, ...headers } = answer.headers;
      resolve(headers);
    }).on("error", reject);
  });
}

const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2" };

/** The one-time code of a fresh signer. */
export const setupCode = (ready) => readFileSync(ready.setup_code_file, "utf8").trim();

/** The first person's first visit: a name, a passkey, recovery codes. Returns the codes. */
export async function setUp(page, ready, name) {
  await page.goto(`${ready.console}/`);
  await page.getByTestId("code").fill(setupCode(ready));
  await page.getByTestId("check-code").click();
  await page.getByTestId("name").fill(name);
  return makePasskey(page);
}

/** A person with a code from an administrator. */
export async function acceptInvitation(page, ready, code) {
  await page.goto(`${ready.console}/invitation`);
  await page.getByTestId("code").fill(code);
  await page.getByTestId("check-code").click();
  return makePasskey(page);
}

async function makePasskey(page) {
  await page.getByTestId("make-passkey").click();
  const shown = page.getByTestId("recovery-codes").locator("li");
  await shown.first().waitFor();
  const codes = await shown.allTextContents();
  await page.getByTestId("codes-kept").click();
  await page.getByTestId("who").waitFor();
  return codes;
}

/** An administrator invites somebody: the code. */
export async function invite(page, ready, name, role) {
  await page.goto(`${ready.console}/users`);
  await page.getByTestId("invite").click();
  await page.getByTestId("name").fill(name);
  await page.getByTestId("role").selectOption(role);
  await page.getByTestId("confirm").click();
  const code = (await page.getByTestId("user-code").textContent()).trim();
  await page.getByTestId("done").click();
  return code;
}

/** The administrators' interface by certificate: what is so, whatever a page says. */
export async function ask(ready, path, { method, body } = {}) {
  const [{ cert, key }] = ready.administrators;
  const answer = await call(`${ready.admin}${path}`, { method, body, ca: readFileSync(ready.ca, "utf8"), cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") });
  if (answer.status >= 300) throw new Error(`${path} answered ${answer.status}: ${answer.text}`);
  return answer.status === 204 ? null : answer.json;
}
