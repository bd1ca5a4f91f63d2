import type MarkdownIt from "markdown-it";

/** As many letters as a phone's line has: a longer name has to be broken. */
const LINE = 32;

/**
 * Where a name may end its line rather than in the middle of a word: after a `_`, `/`, `,` or `|`, and before a `:`, a `{` or a `.`
 * that no ending of a file or a host's name follows. A version stays with what it is of: `/admin/v1/`.
 */
const BREAKS = /(?<=[a-z\d}\];])(?:(?:(?<=[a-z\d])_+|[/,|]+)(?!v\d)(?=[.a-z{&])|(?=:[a-z{&]|\.[a-z]{5})|(?=\{[a-z]))/gi;

/** What a line's end would tear at a hyphen: options, and the names of fields and files. */
const HYPHENATED = /(?<![\w&;-])(?:--?[a-z][\w-]*|\.?\w+(?:-\w+)+)/gi;

/** The same outside code. */
const IDENTIFIERS = /\b(?:CVE-\d+-\d+|SD-JWT|date-time)\b/g;

const whole = (name: string) => `<span class="whole">${name}</span>`;

/** Where lines end between the words of a name: in headings, and in code that is longer than a line. */
export function breakableNames(markdown: MarkdownIt): void {
  markdown.core.ruler.push("breakable-names", ({ tokens }) => {
    tokens.forEach((token, index) => {
      if (token.type !== "inline") return;
      const heading = tokens[index - 1]?.type === "heading_open";
      for (const child of token.children ?? []) {
        const long = child.type === "code_inline" && child.content.length > LINE;
        if (long) child.attrJoin("class", "long");
        if (long || heading) child.meta = { ...child.meta, breakable: true };
      }
    });
  });
  for (const kind of ["text", "code_inline"] as const) {
    const rule = markdown.renderer.rules[kind];
    if (!rule) throw new Error(`markdown-it has no rule for ${kind}`);
    markdown.renderer.rules[kind] = (tokens, index, ...rest) => {
      const html = rule(tokens, index, ...rest);
      const broken = tokens[index]?.meta?.breakable ? html.replaceAll(BREAKS, "$&<wbr>") : html;
      if (kind === "text") return broken.replaceAll(IDENTIFIERS, whole);
      return broken.replace(/(?<=^<code[^>]*>)[^]*(?=<\/code>$)/, (code) =>
        code.replaceAll(HYPHENATED, (name) => (name.length < LINE ? whole(name) : name)),
      );
    };
  }
}
