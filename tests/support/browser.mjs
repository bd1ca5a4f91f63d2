// Real Chromium, and the playground page driven by its documented selectors (www/README.md).

import { chromium as playwright } from "playwright-core";
import { chromium } from "./paths.mjs";

export const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"];

export async function openBrowser() {
  return playwright.launch({ executablePath: chromium(), headless: true, args: FLAGS });
}

/** Opens the playground and waits until its WebAssembly is there. */
export async function openPlayground(browser, workerUrl) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => { if (message.type() === "error") problems.push(message.text()); });
  const response = await page.goto(`${workerUrl}/.edgeseal/playground/`);
  if (!response.ok()) throw new Error(`the playground answered ${response.status()}`);
  try {
    await page.waitForSelector("html[data-ready=true]", { timeout: 20_000 });
  } catch {
    throw new Error(`the playground did not become ready${problems.length ? `: ${problems.join("; ")}` : ""}`);
  }
  return { context, page, problems, verdict: (input) => verdict(page, input) };
}

const algorithms = ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "Ed25519"];

/**
 * @param {{token: string, jwks: string, issuer: string, audience: string, algorithms: string[], leeway?: number, now?: string}} input
 * @returns {Promise<{accepted: boolean, code: string | null, claims: any}>}
 */
async function verdict(page, input) {
  const at = (name) => page.getByTestId(name);
  const policy = { jwks: input.jwks, issuer: input.issuer, audience: input.audience, leeway: String(input.leeway ?? 60), now: input.now ?? "" };
  for (const [name, value] of Object.entries(policy)) {
    if ((await at(name).inputValue()) !== value) await at(name).fill(value);
  }
  for (const name of algorithms) {
    const box = at(`algorithm-${name}`);
    if (await box.count()) await box.setChecked(input.algorithms.includes(name));
  }
  await at("token").fill(input.token);
  await at("verify").click();
  const shown = page.locator("[data-testid=verdict]:not([data-state=running]):not([data-state=idle])");
  await shown.waitFor({ timeout: 15_000 });
  const state = await shown.getAttribute("data-state");
  const code = (await shown.getAttribute("data-code")) || null;
  if (state === "error") throw new Error(`the playground could not judge: ${await at("verdict-message").textContent()}`);
  const accepted = state === "accepted";
  return { accepted, code, claims: accepted ? JSON.parse(await at("claims").textContent()) : null };
}
