import { calendar, relative } from "./time";

const DATES = new Set(["exp", "nbf", "iat", "auth_time", "updated_at"]);
const LEXEME = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/**
 * Writes a value as JSON into an element, coloured, with NumericDates of the top level explained beside them. The element's
 * text stays plain JSON: explanations are generated content. Hostile text is inert: only text nodes are made, and
 * characters that would reorder or hide their neighbours are shown as escapes.
 */
export function showJson(element: HTMLElement, value: unknown, now: number): void {
  const source = visible(JSON.stringify(value, undefined, 2) ?? "");
  const nodes: (Node | string)[] = [];
  let end = 0;
  let name = "";
  for (const match of source.matchAll(LEXEME)) {
    nodes.push(source.slice(end, match.index));
    end = match.index + match[0].length;
    const [lexeme, string, colon] = match;
    if (string !== undefined && colon !== undefined) {
      const topLevel = source.slice(source.lastIndexOf("\n", match.index) + 1, match.index) === "  ";
      name = topLevel ? string.slice(1, -1) : "";
      nodes.push(span("name", string), colon);
    } else if (string !== undefined) {
      nodes.push(span("string", string));
    } else {
      const number = span("number", lexeme);
      if (DATES.has(name)) number.dataset["instant"] = lexeme;
      nodes.push(number);
    }
  }
  nodes.push(source.slice(end));
  element.replaceChildren(...nodes);
  explainDates(element, now);
}

/** Says anew what the dates mean at another instant, and leaves the text (and what is selected of it) alone. */
export function explainDates(element: HTMLElement, now: number): void {
  for (const number of element.querySelectorAll<HTMLElement>("[data-instant]")) {
    const instant = Number(number.dataset["instant"]);
    const date = calendar(instant);
    if (date !== "") number.dataset["note"] = `${date}, ${relative(instant, now)}`;
  }
}

/** Format, line-separator and other invisible characters as \u escapes. */
export function visible(text: string): string {
  return text.replace(/[\p{Cf}\p{Zl}\p{Zp}\u007f-\u009f]/gu, (character) =>
    Array.from({ length: character.length }, (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`).join(""),
  );
}

function span(kind: string, text: string): HTMLSpanElement {
  const element = document.createElement("span");
  element.className = `json-${kind}`;
  element.textContent = text;
  return element;
}
