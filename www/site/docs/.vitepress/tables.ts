import type MarkdownIt from "markdown-it";

/** Tables that a phone shows row by row (style.css): each cell bears the name of its column, and the roles that a changed `display` takes away. */
export function stackedTables(markdown: MarkdownIt): void {
  markdown.core.ruler.push("stacked-tables", ({ tokens }) => {
    let heads: string[] = [];
    let column = 0;
    tokens.forEach((token, index) => {
      const content = tokens[index + 1]?.children?.map((child) => child.content).join("") ?? "";
      if (token.type === "table_open") {
        heads = [];
        token.attrSet("role", "table");
      } else if (token.type === "thead_open" || token.type === "tbody_open") {
        token.attrSet("role", "rowgroup");
      } else if (token.type === "tr_open") {
        column = 0;
        token.attrSet("role", "row");
      } else if (token.type === "th_open") {
        heads.push(content);
        token.attrSet("role", "columnheader");
      } else if (token.type === "td_open") {
        token.attrSet("role", "cell");
        // The first column's name stands once above the rows.
        if (column > 0 && heads[column] && content) token.attrSet("data-column", heads[column]);
        column += 1;
      }
    });
  });
}
