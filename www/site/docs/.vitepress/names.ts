import type MarkdownIt from "markdown-it";

/** As many letters as a phone's line has: a longer name has to be broken in the text, too. */
const LINE = 32;

/** Where a name may end its line rather than in the middle of a word: after a `_`, `/`, `.`, `:`, `,` or `|` and before a `{`. */
const BREAKS = /(?<=[\w}\];])(?:[_/:,|]+(?=[.a-z{&])|\.(?=[a-z{&])|(?=\{[a-z]))/gi;

/** What a line's end would tear at a hyphen: options, and the names of fields and files. */
const HYPHENATED = /(?<![\w&;-])(?:--?[a-z][\w-]*|\.?\w+(?:-\w+)+)/gi;

/** Where lines end in code: in headings, in the cells of tables and where it is longer than a line, between the words of a name. */
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
      const broken = tokens[index]?.meta?.breakable ? html.replaceAll(BREAKS, "$&<wbr>") : html;
      if (kind === "text") return broken;
      return broken.replace(/(?<=^<code[^>]*>)[^]*(?=<\/code>$)/, (code) =>
        code.replaceAll(HYPHENATED, (name) => (name.length < LINE ? `<span class="whole">${name}</span>` : name)),
      );
    };
  }
}
