import type { MarkdownOptions } from "vitepress";

type Transformer = NonNullable<MarkdownOptions["codeTransformers"]>[number];
type Line = Parameters<NonNullable<Transformer["line"]>>[0];
type Children = Line["children"];

/** Commands and settings: their lines end in what they are for, and are broken where all others scroll. */
const BROKEN = ["sh", "console", "ini", "docker", "toml", "yaml"];

/** Letters of a word that fits into any line. */
const SHORT = 8;

/**
 * Where a long line goes on: behind a space and nowhere else, since browsers would end one behind any hyphen, and further in than it
 * began. What is said at a line's end stays together.
 */
export const brokenLines: Transformer = {
  pre(pre) {
    if (BROKEN.includes(this.options.lang)) this.addClassToHast(pre, "broken");
  },
  line(line) {
    if (!BROKEN.includes(this.options.lang)) return;
    const indent = /^ *(?:- )?/.exec(text(line.children))?.[0].length ?? 0;
    line.properties.style = `--indent: ${indent}ch`;
    line.children = inWords(line.children);
  },
};

const lineEnd: Children[number] = { type: "element", tagName: "wbr", properties: {}, children: [] };

/** The same with each run of letters in an element of its own, whatever colours are in it, and a comment at the line's end as one. */
function inWords(spans: Children): Children {
  const found: Children = [];
  let word: Children = [];
  const end = () => {
    const name = text(word).length > SHORT ? "long word" : "word";
    if (word.length > 0) found.push({ type: "element", tagName: "span", properties: { class: name }, children: word });
    word = [];
  };
  for (const span of spans) {
    if (span.type !== "element") throw new Error(`a line of code has a ${span.type} beside its spans`);
    const parts = /^(\s+)(#.*)$/.exec(text([span]))?.slice(1) ?? text([span]).split(/(\s+)/);
    for (const part of parts.filter((part) => part !== "")) {
      const coloured = { ...span, children: breakable(part) };
      if (part.trim() === "") {
        end();
        found.push(coloured);
      } else {
        word.push(coloured);
      }
    }
  }
  end();
  return found;
}

/** A word that is longer than a line, as paths on a phone are, ends that line behind what separates its parts. */
function breakable(value: string): Children {
  const parts = value.split(/(?<=\w[/.:,=_]+)(?=[^/.:,=_])/);
  return parts.flatMap((part, index) => [...(index > 0 ? [lineEnd] : []), { type: "text" as const, value: part }]);
}

function text(nodes: Children): string {
  return nodes.map((node) => (node.type === "text" ? node.value : node.type === "element" ? text(node.children) : "")).join("");
}
