import { calendar, relative } from "./time";

const DATES = new Set(["exp", "nbf", "iat", "auth_time", "updated_at"]);
const LEXEME = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

// What core reads (core/src/json): a value may be nested as deep as its sender likes, and each level is indented.
const MAX_DEPTH = 128;

/**
 * Writes a value as JSON into an element, coloured, with NumericDates of the top level explained beside them. The element's
 * text stays plain JSON: explanations are generated content. Hostile text is inert: only text nodes are made, and
 * characters that would reorder or hide their neighbours are shown as escapes.
 */
export function showJson(element: HTMLElement, value: unknown, now: number): void {
  element.replaceChildren(...inLines(jsonNodes(value, 2)));
  explainDates(element, now);
}

/** A value as coloured JSON, indented or in one line. */
export function jsonNodes(value: unknown, indent = 0): (Node | string)[] {
  if (isTooDeep(value)) return ["nested too deeply to show"];
  const source = visible(JSON.stringify(value, undefined, indent) ?? "");
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
      // The token's own digits are gone: JavaScript has read it.
      if (Math.abs(Number(lexeme)) > Number.MAX_SAFE_INTEGER) number.dataset["note"] = "rounded";
      nodes.push(number);
    }
  }
  nodes.push(source.slice(end));
  return nodes;
}

/** The same with each line in an element of its own, which goes on further in than it begins where it is longer than its block. */
export function inLines(nodes: (Node | string)[]): (Node | string)[] {
  const lines = [document.createElement("span")];
  for (const node of nodes) {
    const [rest, ...more] = typeof node === "string" ? node.split("\n") : [node];
    lines.at(-1)?.append(rest ?? "");
    for (const text of more) {
      lines.push(document.createElement("span"));
      lines.at(-1)?.append(text);
    }
  }
  for (const line of lines) {
    line.className = "line";
    line.style.setProperty("--indent", `${/^ */.exec(line.textContent ?? "")?.[0].length ?? 0}ch`);
  }
  return lines.flatMap((line, index) => (index > 0 ? ["\n", line] : [line]));
}

/** Says anew what the dates mean at another instant, and leaves the text (and what is selected of it) alone. */
export function explainDates(element: HTMLElement, now: number): void {
  for (const number of element.querySelectorAll<HTMLElement>("[data-instant]")) {
    const instant = Number(number.dataset["instant"]);
    const date = calendar(instant);
    if (date !== "") number.dataset["note"] = `${date}, ${relative(instant, now)}`;
  }
}

/** Format, line-separator and other invisible characters as \u escapes; U+2800 is a blank that is no space. */
export function visible(text: string): string {
  return text.replace(/[\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u007f-\u009f\u2800]/gu, (character) =>
    Array.from({ length: character.length }, (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`).join(""),
  );
}

// By levels, not by recursion: the stack would not hold what a sender can nest.
function isTooDeep(value: unknown): boolean {
  let level = [value].filter(isNested);
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > MAX_DEPTH) return true;
    level = level.flatMap((nested) => Object.values(nested)).filter(isNested);
  }
  return false;
}

function isNested(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function span(kind: string, text: string): HTMLSpanElement {
  const element = document.createElement("span");
  element.className = `json-${kind}`;
  element.textContent = text;
  return element;
}
