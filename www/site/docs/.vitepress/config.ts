import { fileURLToPath } from "node:url";
import { defineConfig } from "vitepress";
import { includedPages } from "./included";
import { brokenLines } from "./lines";
import { breakableNames } from "./names";
import { stackedTables } from "./tables";

/** The landing page and the documentation: static pages below /.edgeseal/, beside the playground. */
export default defineConfig({
  title: "Edgeseal",
  description: "Sign JWTs inside an HSM, verify them at the edge, with one Rust core that decides identically everywhere.",
  lang: "en",
  base: "/.edgeseal/",
  outDir: fileURLToPath(new URL("../../../dist/.edgeseal", import.meta.url)),
  cacheDir: fileURLToPath(new URL("../../../../target/vitepress", import.meta.url)),
  // As the Worker's assets serve them: a page's address has no ending.
  cleanUrls: true,
  // The list of pages in a file of its own: no script stands inside the pages for it.
  metaChunk: true,
  // A dead link fails the build. The playground is built beside these pages.
  ignoreDeadLinks: [/playground/],
  // Nothing is fetched from elsewhere, and the page's own font would cost more than its text.
  head: [
    ["link", { rel: "icon", href: "/.edgeseal/seal.svg", type: "image/svg+xml" }],
    ["meta", { name: "referrer", content: "no-referrer" }],
  ],
  markdown: {
    theme: { light: "github-light-high-contrast", dark: "github-dark-high-contrast" },
    codeTransformers: [brokenLines],
    config: (markdown) => {
      includedPages(markdown);
      breakableNames(markdown);
      stackedTables(markdown);
    },
  },
  themeConfig: {
    logo: { src: "/seal.svg", alt: "" },
    search: { provider: "local" },
    outline: { level: [2, 3] },
    externalLinkIcon: true,
    nav: [
      { text: "Start", link: "/start/newcomer", activeMatch: "^/start/" },
      { text: "Concepts", link: "/concepts/decisions", activeMatch: "^/concepts/" },
      { text: "Operate", link: "/operate/deploy", activeMatch: "^/operate/" },
      { text: "Reference", link: "/reference/edge", activeMatch: "^/reference/" },
      { text: "Playground", link: "/playground/", target: "_self" },
    ],
    sidebar: [
      {
        text: "Start",
        items: [
          { text: "In ten minutes", link: "/start/newcomer" },
          { text: "An API behind the edge", link: "/start/edge" },
          { text: "JavaScript", link: "/start/javascript" },
          { text: "A signer beside an HSM", link: "/start/signer" },
          { text: "An application that asks for tokens", link: "/start/application" },
          { text: "Rust", link: "/start/rust" },
        ],
      },
      {
        text: "Concepts",
        items: [
          { text: "How a token is judged", link: "/concepts/decisions" },
          { text: "Keys at the edge", link: "/concepts/keys-at-the-edge" },
          { text: "The life of a key", link: "/concepts/life-of-a-key" },
          { text: "Three ways to issue", link: "/concepts/issuance" },
          { text: "Revocation", link: "/concepts/revocation" },
          { text: "Evidence", link: "/concepts/evidence" },
          { text: "Threat model", link: "/concepts/threat-model" },
          { text: "Beside others", link: "/concepts/comparison" },
        ],
      },
      {
        text: "Operate",
        items: [
          { text: "Deploying the signer", link: "/operate/deploy" },
          { text: "Deploying the gateway", link: "/operate/gateway" },
          { text: "A Worker of your own", link: "/operate/templates" },
          { text: "Runbooks", link: "/operate/runbooks" },
        ],
      },
      {
        text: "Reference",
        items: [
          { text: "The edge", link: "/reference/edge" },
          { text: "npm package", link: "/reference/npm" },
          { text: "The signer", link: "/reference/signer" },
          { text: "API: public", link: "/reference/api/public" },
          { text: "API: agents", link: "/reference/api/agents" },
          { text: "API: administrators", link: "/reference/api/admin" },
          { text: "Defaults", link: "/reference/defaults" },
          { text: "Attacks", link: "/reference/attacks" },
          { text: "Codes", link: "/reference/codes" },
        ],
      },
    ],
  },
});
