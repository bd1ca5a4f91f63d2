import type MarkdownIt from "markdown-it";

/** Where links of the repository's own pages lead once a page stands here. */
const pages: Record<string, string> = {
  "npm/README.md": "/reference/npm",
  "README.md": "/reference/edge",
  "DEPLOY.md": "/operate/gateway",
  "../DEPLOY.md": "/operate/gateway",
  "templates/README.md": "/operate/templates",
  "../www/README.md": "/.edgeseal/playground/",
  deploy: "/operate/deploy",
  "RUNBOOKS.md": "/operate/runbooks",
};

/** Pages that are included from elsewhere in the repository: their links lead here, those of rustdoc stay text. */
export function includedPages(markdown: MarkdownIt): void {
  markdown.core.ruler.before("normalize", "included-pages", (state) => {
    state.src = state.src
      .replaceAll(/\[`crate::([\w:]+)`\](?!\()/g, (_, path: string) => `\`${path.split("::").at(-1) ?? path}\``)
      .replaceAll(/\]\(([^)#:]+?)\/?(#[^)]*)?\)/g, (link, target: string, fragment = "") => {
        const page = pages[target];
        if (!page) return link;
        // The playground is no page of the documentation's router.
        return page.startsWith("/.edgeseal/") ? `](${page}){target="_self"}` : `](${page}${fragment})`;
      });
  });
}
