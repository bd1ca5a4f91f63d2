// The landing page and the documentation, as they are built: no dead link, no dead anchor, nothing that the pages' own
// Content-Security-Policy stops, accessible in both themes, searchable.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, posix } from "node:path";
import { after, before, test } from "node:test";
import { cutWords } from "../../tests/support/legible.mjs";
import { ROOT } from "./samples.mjs";
import { DIST, launchChromium, serveDist } from "./support.mjs";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const BASE = "/.edgeseal/";
const pages = (await readdir(join(DIST, BASE), { recursive: true }))
  .filter((name) => name.endsWith(".html") && !name.startsWith("playground/"))
  .sort();

/** Pages of the repository that are read where it is, and not on the site. */
const readmes = execFileSync("git", ["ls-files", "*.md"], { cwd: ROOT, encoding: "utf8" }).split("\n").filter((name) => name && !name.startsWith("www/site/docs/"));

let server;
let browser;

before(async () => {
  server = await serveDist();
  browser = await launchChromium();
});

after(async () => {
  await browser.close();
  await server.stop();
});

test("every link and every anchor leads somewhere", async () => {
  const ids = new Map();
  const html = new Map();
  for (const page of [...pages, "playground/index.html"]) {
    const text = await readFile(join(DIST, BASE, page), "utf8");
    html.set(page, text);
    ids.set(page, new Set([...text.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id)));
  }
  const dead = [];
  let followed = 0;
  for (const page of pages) {
    for (const [, raw] of html.get(page).matchAll(/<a[^>]*\shref="([^"]*)"/g)) {
      const href = raw.replaceAll("&amp;", "&");
      if (/^https?:/.test(href)) continue;
      followed += 1;
      const [path, fragment] = href.split("#", 2);
      const absolute = path === "" ? BASE + page : posix.resolve(posix.dirname(BASE + page), path) + (path.endsWith("/") ? "/" : "");
      let target = absolute.slice(BASE.length);
      if (!absolute.startsWith(BASE)) dead.push(`${page}: ${href} leaves the site`);
      if (target === "" || target.endsWith("/")) target += "index.html";
      else if (!target.endsWith(".html")) target += ".html";
      const known = ids.get(target);
      if (!known) dead.push(`${page}: ${href}`);
      else if (fragment && !known.has(decodeURIComponent(fragment))) dead.push(`${page}: ${href}: no such anchor`);
    }
  }
  assert.deepEqual(dead, []);
  assert.ok(followed > pages.length, "the pages have links");
});

test("every link that leaves the documentation could be followed: https, a real name, nothing left to fill in", async () => {
  const odd = [];
  let found = 0;
  const judge = (from, href) => {
    found += 1;
    const url = URL.canParse(href) ? new URL(href) : undefined;
    const local = url?.hostname === "localhost";
    if (!url || !(url.protocol === "https:" || local)) odd.push(`${from}: ${href} is no https address`);
    else if (!local && !/^([a-z0-9-]+\.)+[a-z]{2,}$/.test(url.hostname)) odd.push(`${from}: ${href} names no host`);
    else if (/(^|\.)(example|invalid|test)(\.(com|net|org))?$/.test(url.hostname)) odd.push(`${from}: ${href} is an example, and no link`);
    else if (/[{}<>…\s]|%7B|TEAM|PORT/.test(href)) odd.push(`${from}: ${href} has something left to fill in`);
  };
  for (const page of pages) {
    const text = await readFile(join(DIST, BASE, page), "utf8");
    for (const [, href] of text.matchAll(/<a[^>]*\shref="([a-z][a-z0-9+.-]*:[^"]*)"/g)) judge(page, href.replaceAll("&amp;", "&"));
  }
  for (const file of readmes) {
    for (const [, href] of (await proseOf(file)).matchAll(/(?:\]\(|<)([a-z][a-z0-9+.-]*:[^)>\s]*)[)>]/g)) judge(file, href);
  }
  assert.deepEqual(odd, []);
  assert.ok(found > 0, "there are such links");
});

test("every link from one page of the repository to another leads to a file and to a heading of it", async () => {
  const dead = [];
  let followed = 0;
  for (const file of readmes) {
    for (const [, target] of (await proseOf(file)).matchAll(/!?\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      followed += 1;
      const [path, fragment] = target.split("#", 2);
      const other = path === "" ? join(ROOT, file) : join(ROOT, dirname(file), path);
      if (!existsSync(other)) dead.push(`${file}: ${target}`);
      else if (fragment && !headingsOf(await readFile(other, "utf8")).includes(fragment)) dead.push(`${file}: ${target}: no such heading`);
    }
  }
  assert.deepEqual(dead, []);
  assert.ok(followed > 20, `${followed} links followed`);
});

for (const theme of ["light", "dark"]) {
  test(`no page breaks its policy or is hard to read (${theme})`, async () => {
    const page = await browser.newPage({ colorScheme: theme, viewport: { width: 1280, height: 900 }, reducedMotion: "reduce" });
    const troubles = [];
    page.on("console", (message) => message.type() === "error" && troubles.push(`${page.url()}: ${message.text()}`));
    page.on("pageerror", (error) => troubles.push(`${page.url()}: ${error.message}`));
    for (const name of pages.filter((name) => name !== "404.html")) {
      await page.goto(`${server.origin}${BASE}${name}`);
      await page.waitForSelector("h1");
      await page.evaluate(AXE);
      const violations = await page.evaluate(async () => {
        const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
        return violations
          .filter(({ impact }) => impact === "serious" || impact === "critical")
          .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html }) => html).join(" | ")}`);
      });
      for (const violation of violations) troubles.push(`${name}: ${violation}`);
    }
    await page.close();
    assert.deepEqual(troubles, []);
  });
}

test("on a phone no page scrolls sideways, no word is cut, and a page has one title", async () => {
  const page = await browser.newPage({ viewport: { width: 360, height: 740 } });
  const troubles = [];
  for (const name of pages.filter((name) => name !== "404.html")) {
    await page.goto(`${server.origin}${BASE}${name}`);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    if (width > 360) troubles.push(`${name}: ${width} px`);
    const titles = await page.locator("h1").allInnerTexts();
    if (titles.length !== 1) troubles.push(`${name}: titles ${titles.join(", ")}`);
    troubles.push(...(await cutWords(page)).map((word) => `${name}: ${word}`));
  }
  await page.close();
  assert.deepEqual(troubles, []);
});

test("no table is wider than its page, and on a phone every column has its name", async () => {
  const troubles = [];
  for (const width of [360, 768, 1440]) {
    const page = await browser.newPage({ viewport: { width, height: 900 } });
    for (const name of pages.filter((name) => name !== "404.html")) {
      await page.goto(`${server.origin}${BASE}${name}`);
      await page.waitForSelector("h1");
      const wide = await page.locator("table").evaluateAll((tables) =>
        tables.filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth + 1).map(({ innerText }) => innerText.slice(0, 60)),
      );
      troubles.push(...wide.map((table) => `${name} at ${width} px: ${table}`));
      if (width === 360) troubles.push(...(await page.locator("table").evaluateAll(namelessColumns)).map((column) => `${name}: ${column}`));
    }
    await page.close();
  }
  assert.deepEqual(troubles, []);
});

test("each operation of the administrators' interface names the least role that may do it", async () => {
  const page = await browser.newPage();
  await page.goto(`${server.origin}${BASE}reference/api/admin.html`);
  const operations = await page.locator("h2").evaluateAll((heads) => heads.filter(({ id }) => /^(get|post|put|patch|delete)-/.test(id)).map((head) => {
    const said = [];
    for (let next = head.nextElementSibling; next && next.tagName !== "H2"; next = next.nextElementSibling) said.push(next.textContent);
    return [head.id, said.find((text) => text.startsWith("Least role: "))];
  }));
  const roles = Object.fromEntries(operations);
  assert.equal(roles["post-admin-v1-keys"], "Least role: operator.");
  assert.deepEqual(operations.filter(([, role]) => !/^Least role: (auditor|operator|administrator)\.$/.test(role)).map(([id]) => id), []);
  await page.close();
});

test("no line of commands or settings is cut, and what else is wider than its block shows that there is more", async () => {
  const troubles = [];
  let wider = 0;
  for (const width of [360, 768, 1440]) {
    // The theme takes away what moves with a block where less motion is wished for.
    const page = await browser.newPage({ viewport: { width, height: 900 }, reducedMotion: "reduce" });
    for (const name of pages.filter((name) => name !== "404.html")) {
      await page.goto(`${server.origin}${BASE}${name}`);
      await page.waitForSelector("h1");
      const wide = await page.locator("div[class*=language-] > pre").evaluateAll((blocks) =>
        blocks
          .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)
          .map((block) => ({ language: /language-(\w+)/.exec(block.parentElement.className)[1], shadowed: getComputedStyle(block).backgroundAttachment.includes("local"), text: block.innerText.slice(0, 60) })),
      );
      wider += wide.length;
      for (const { language, shadowed, text } of wide) if (!shadowed || !["text", "js", "ts", "rust", "json", "html"].includes(language)) troubles.push(`${name} at ${width} px: ${language}: ${text}`);
    }
    await page.close();
  }
  assert.deepEqual(troubles, []);
  assert.ok(wider > 0, "some blocks scroll");
});

test("a command that is longer than a line is broken between words, further in than it began, and copied as it is", async () => {
  const page = await browser.newPage({ viewport: { width: 360, height: 740 } });
  let broken = 0;
  for (const name of pages.filter((name) => name !== "404.html")) {
    await page.goto(`${server.origin}${BASE}${name}`);
    await page.waitForSelector("h1");
    const found = await page.locator("pre.broken").evaluateAll((blocks) =>
      blocks.map((block) => {
        const height = parseFloat(getComputedStyle(block.querySelector("code")).lineHeight);
        const lines = [...block.querySelectorAll(".line")];
        const torn = [...block.querySelectorAll(".word:not(.long)")].filter(({ offsetHeight }) => offsetHeight > 1.5 * height).map((word) => word.innerText);
        // Where a line's letters stand, and where the line itself begins.
        const outdented = lines.filter((line) => {
          const [first, ...more] = [...line.querySelectorAll(".word")].map((word) => word.getBoundingClientRect());
          return more.some(({ top, left }) => top > first.top + height / 2 && left <= first.left);
        });
        getSelection().selectAllChildren(block);
        // A comment that stands above its line is copied as a line of its own.
        const letters = (text) => text.replaceAll(/\s+/g, " ").trim();
        const copied = letters(String(getSelection()));
        return { torn, outdented: outdented.map(({ innerText }) => innerText), isCopied: copied === letters(block.textContent), broken: lines.filter(({ offsetHeight }) => offsetHeight > 1.5 * height).length };
      }),
    );
    for (const { torn, outdented, isCopied } of found) assert.deepEqual({ torn, outdented, isCopied }, { torn: [], outdented: [], isCopied: true }, name);
    broken += found.reduce((sum, block) => sum + block.broken, 0);
  }
  assert.ok(broken > 50, `${broken} lines are broken`);
  await page.close();
});

test("the list of pages shows the current one, and the list of headings all of each", async () => {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  await page.goto(`${server.origin}${BASE}reference/api/admin.html`);
  const current = page.locator(".VPSidebar .is-link.is-active");
  await current.waitFor();
  await page.waitForFunction(() => document.querySelector(".VPSidebar").scrollTop > 0);
  const { y, height } = await current.boundingBox();
  assert.ok(y > 0 && y + height < 900, `it stands at ${y}`);
  // A link of the page leads to one that is above what the list shows.
  await page.evaluate(() => {
    document.querySelector(".VPSidebar").scrollTop = 10_000;
    document.querySelector('.VPSidebar a[href$="/start/newcomer"]').click();
  });
  await page.waitForURL("**/start/newcomer*");
  await page.waitForFunction(() => document.querySelector(".VPSidebar .is-link.is-active").getBoundingClientRect().top > 0);
  await page.goBack();
  const cut = await page.locator(".VPDocAsideOutline a").evaluateAll((links) => links.filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth).map(({ innerText }) => innerText));
  assert.deepEqual(cut, []);
  await page.close();
});

test("the search finds a code and opens its page", async () => {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  await page.goto(`${server.origin}${BASE}`);
  const box = page.getByRole("searchbox");
  // The key counts once the page's script runs.
  for (let tries = 0; tries < 40 && !(await box.isVisible()); tries += 1) {
    await page.keyboard.press("/");
    await box.waitFor({ timeout: 500 }).catch(() => {});
  }
  await box.fill("small order");
  await page.locator(".result").first().waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL(/reference|concepts/);
  assert.match(await page.innerText("main"), /small order/i);
  await page.close();
});

/** Columns whose name a phone does not show: the first one's above the rows, the others' before each cell. */
function namelessColumns(tables) {
  const nameless = [];
  for (const table of tables) {
    const heads = [...table.querySelectorAll("th")];
    const names = heads.map(({ textContent }) => textContent.trim());
    const seen = heads[0].getBoundingClientRect();
    const shown = getComputedStyle(heads[0].closest("thead")).clipPath === "none" && seen.height > 10 && seen.bottom <= table.querySelector("td").getBoundingClientRect().top;
    if (names[0] && !shown) nameless.push(`"${names[0]}" above ${table.innerText.slice(0, 60)}`);
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.cells].forEach((cell, column) => {
        const before = getComputedStyle(cell, "::before").content;
        if (column > 0 && names[column] && cell.textContent.trim() && !before.includes(names[column])) nameless.push(`"${names[column]}" before ${cell.innerText.slice(0, 60)}`);
      });
    }
  }
  return nameless;
}

/** A page without its fences and its inline code, in which a bracket is no link. */
async function proseOf(file) {
  return (await readFile(join(ROOT, file), "utf8")).replaceAll(/^ *```[\s\S]*?^ *```$/gm, "").replaceAll(/`[^`\n]*`/g, "");
}

/** A heading's fragment as GitHub makes it. */
function headingsOf(text) {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) => title.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").trim().replaceAll(" ", "-"));
}
