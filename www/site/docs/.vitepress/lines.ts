import type { MarkdownOptions } from "vitepress";

type Transformer = NonNullable<MarkdownOptions["codeTransformers"]>[number];
type Line = Parameters<NonNullable<Transformer["line"]>>[0];
type Children = Line["children"];
type Span = Extract<Children[number], { type: "element" }>;

/** Commands and settings: their lines end in what they are for, and are broken where all others scroll. */
const BROKEN = ["sh", "console", "ini", "docker", "toml", "yaml"];

/** Letters of a line that fits beside the list of pages. */
const LINE = 68;

/** Letters of a word that fits into any line. */
const SHORT = 8;

/** Code, and what is said of it at the line's end. */
const COMMENTED = /^(.*\S)( {2,})(# .*)$/;

/** What stands with the word behind it while both are no longer than a phone's line: an option, a comparison, a redirection. */
const LEADS = /^(?:--[a-z][\w-]*|[<>=]+)$/;
const PHONE = 35;

/** Where a word that is longer than a line ends it: behind what separates the parts of a path, of an address, of JSON, with more than two letters to come. */
const PARTS = /(?<=[\w"'\])}][/:,={]+)(?<!:\/\/?)(?=[^/:,={].{2})/;

/** The same within a part of so many letters: behind what separates the words of a name. */
const NAMES = /(?<=\w_)(?=\w{3})/;
const NAME = 24;

/**
 * Where a long line goes on: behind a space and nowhere else, since browsers would end one behind any hyphen, and further in than it
 * began. Comments at the ends of lines stand above these where one of them does not fit.
 */
export const brokenLines: Transformer = {
  pre(pre) {
    if (!BROKEN.includes(this.options.lang)) return;
    this.addClassToHast(pre, "broken");
    const lines = this.source.split("\n").filter((line) => COMMENTED.test(line));
    if (lines.some((line) => line.length > LINE)) this.addClassToHast(pre, "above");
  },
  line(line) {
    if (!BROKEN.includes(this.options.lang)) return;
    const said = text(line.children);
    line.properties.style = `--hanging: ${hanging(said)}ch`;
    const spans = line.children.map((child) => {
      if (child.type !== "element") throw new Error(`a line of code has a ${child.type} beside its spans`);
      return child;
    });
    const commented = COMMENTED.exec(said);
    if (!commented) {
      line.children = inWords(spans);
      return;
    }
    const [, code = "", space = ""] = commented;
    const [before, behind] = cut(spans, code.length);
    const [gap, comment] = cut(behind, space.length);
    this.addClassToHast(line, "commented");
    line.properties.style += `; --gap: ${space.length}ch`;
    line.children = [element("said", [...inWords(before), element("gap", gap)]), element("comment", inWords(comment))];
  },
};

/** Letters by which a line goes on further in: as a comment's own text, below a list's item, and two more than the line otherwise. */
function hanging(line: string): number {
  const comment = /^# ?(?=\S)/.exec(line);
  return comment ? comment[0].length : (/^(?: *- |# +| *)/.exec(line)?.[0].length ?? 0) + 2;
}

/** The same with each run of letters in an element of its own, whatever colours are in it. */
function inWords(spans: Span[]): Children {
  const pieces = spans.flatMap((span) => text([span]).split(/(\s+)/).filter((part) => part !== "").map((part) => ({ span, part })));
  const wordAt = (index: number) => /^\S*/.exec(pieces.slice(index).map(({ part }) => part).join(""))?.[0] ?? "";
  const found: Children = [];
  let word: Span[] = [];
  const end = () => {
    if (word.length > 0) found.push(element(text(word).length > SHORT ? "long word" : "word", inParts(word)));
    word = [];
  };
  pieces.forEach(({ span, part }, index) => {
    const coloured: Span = { ...span, children: [{ type: "text", value: part }] };
    const isSpace = part.trim() === "";
    if (isSpace && !joins(text(word), wordAt(index + 1))) {
      end();
      found.push(coloured);
    } else {
      word.push(coloured);
    }
  });
  end();
  return found;
}

/** Whether no line ends between these words. */
function joins(word: string, next: string): boolean {
  if (next === "\\" || next === "=") return true;
  return LEADS.test(word) && /^[\w"'/.$@{]/.test(next) && word.length + 1 + next.length <= PHONE;
}

/** A word with each of its parts in an element of its own, where there are several. */
function inParts(word: Span[]): Children {
  const words = text(word).split(/(\s+)/).flatMap((said) => said.split(PARTS));
  const parts = words.flatMap((part) => (part.length > NAME ? part.split(NAMES) : [part]));
  if (parts.length === 1) return word;
  let rest = word;
  return parts.flatMap((part) => {
    const [found, behind] = cut(rest, part.length);
    rest = behind;
    return part.trim() === "" ? found : [element("word", found)];
  });
}

/** The first letters of these, and the rest. */
function cut(spans: Span[], letters: number): [Span[], Span[]] {
  const [before, behind]: [Span[], Span[]] = [[], []];
  let rest = letters;
  for (const span of spans) {
    const said = text([span]);
    const of = (value: string): Span => ({ ...span, children: [{ type: "text", value }] });
    if (rest > 0) before.push(of(said.slice(0, rest)));
    if (said.length > rest) behind.push(of(said.slice(Math.max(rest, 0))));
    rest -= said.length;
  }
  return [before, behind];
}

function element(name: string, children: Children): Span {
  return { type: "element", tagName: "span", properties: { class: name }, children };
}

function text(nodes: Children): string {
  return nodes.map((node) => (node.type === "text" ? node.value : node.type === "element" ? text(node.children) : "")).join("");
}
