// Takes the playground's and the documentation's screenshots at three widths in both themes into target/screens; with --readme
// the README's one of the playground into www/site/screens/playground.png as well, with --readme-only that alone. Needs a built www/dist.
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { DIST, launchChromium, openPlayground, serveDist, verdict } from "../test/support.mjs";

const FOLDER = process.env.EDGESEAL_SCREENS ?? fileURLToPath(new URL("../../target/screens/", import.meta.url));
const README_SCREEN = fileURLToPath(new URL("../site/screens/playground.png", import.meta.url));
const README_LIMIT = 200 * 1024;
const THEMES = process.argv.includes("--readme-only") ? [] : ["light", "dark"];

const SCENES = {
  empty: async () => {},
  accepted: (page) => load(page, "example"),
  rejected: (page) => load(page, "tamper-audience"),
};

/** Every page of the documentation, by the name of its picture. */
const DOCS = (await readdir(`${DIST}.edgeseal`, { recursive: true })).filter((file) => file.endsWith(".html") && !/^(?:playground|404)/.test(file)).sort();
if (DOCS.length < 20) throw new Error(`${DIST} has ${DOCS.length} pages of documentation: npm run build`);

await mkdir(FOLDER, { recursive: true });
const server = await serveDist();
const browser = await launchChromium();
try {
  for (const theme of THEMES) {
    for (const width of [360, 768, 1440]) {
      for (const [scene, prepare] of Object.entries(SCENES)) {
        const page = await open(theme, width, 900);
        await prepare(page);
        await page.screenshot({ path: `${FOLDER}/playground-${scene}-${width}-${theme}.png`, fullPage: true });
        await page.close();
      }
    }
  }
  for (const theme of THEMES) {
    for (const width of [360, 768, 1440]) {
      const page = await browser.newPage({ colorScheme: theme, viewport: { width, height: 900 }, reducedMotion: "reduce" });
      for (const file of DOCS) {
        await page.goto(`${server.origin}/.edgeseal/${file}`);
        await page.waitForLoadState("networkidle");
        await page.screenshot({ path: `${FOLDER}/docs-${file.slice(0, -".html".length).replaceAll("/", "-")}-${width}-${theme}.png`, fullPage: true });
      }
      await page.close();
    }
  }
  if (process.argv.some((word) => word.startsWith("--readme"))) {
    const page = await open("light", 1200, 860);
    await load(page, "tamper-signature");
    const png = await page.screenshot();
    if (png.length > README_LIMIT) throw new Error(`playground.png has ${png.length} bytes, more than ${README_LIMIT}`);
    await writeFile(README_SCREEN, png);
  }
} finally {
  await browser.close();
  await server.stop();
}

async function open(colorScheme, width, height) {
  const page = await browser.newPage({ colorScheme, viewport: { width, height }, reducedMotion: "reduce" });
  await openPlayground(page, server.origin);
  return page;
}

async function load(page, button) {
  await page.getByTestId(button).click();
  await verdict(page);
  await page.mouse.move(0, 0);
}
