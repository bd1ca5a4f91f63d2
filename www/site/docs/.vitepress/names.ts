import type MarkdownIt from "markdown-it";

/** As wide as a phone: a longer name has to be broken in the text, too. */
const LINE = 32;

/** Where a name may end its line rather than in the middle of a word: after a `_`, `/`, `.`, `:` or `,` and before a `{`. */
const BREAKS = /(?<=[\w}\];])(?:[_/.:,]+(?=[a-z{&])|(?=\{[a-z]))/gi;

/** Lets names be broken in headings, in the cells of tables, and where they are longer than a line. */
export function breakableNames(markdown: MarkdownIt): void {
  markdown.core.ruler.push("breakable-names", ({ tokens }) => {
    tokens.forEach((token, index) => {
      if (token.type !== "inline") return;
      const [, place] = /^(heading|t[dh])_open$/.exec(tokens[index - 1]?.type ?? "") ?? [];
      for (const child of token.children ?? []) {
        const name = child.type === "code_inline" ? place || child.content.length > LINE : child.type === "text" && place === "heading";
        if (name) child.meta = { ...child.meta, breakable: true };
      }
    });
  });
  for (const kind of ["text", "code_inline"] as const) {
    const rule = markdown.renderer.rules[kind];
    if (!rule) throw new Error(`markdown-it has no rule for ${kind}`);
    markdown.renderer.rules[kind] = (tokens, index, ...rest) => {
      const html = rule(tokens, index, ...rest);
      return tokens[index]?.meta?.breakable ? html.replaceAll(BREAKS, "$&<wbr>") : html;
    };
  }
}
