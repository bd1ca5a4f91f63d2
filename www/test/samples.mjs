// The documentation's samples: what stands in its fences, page by page, and what the comment before each says of it:
//   run                              a shell's commands, in the page's own folder, one shell for the page
//   run in the repository            the same, where the repository is
//   run in the background until URL  left running; the next sample waits until the URL answers 200
//   checked                          settings of the Worker, which `edgeseal edge check` takes
//   settings                         settings of the signer, which lack nothing but the files that they name
//   commands                         an overview: each command exists, takes the flags that it shows, and is run by tests/e2e/commands.test.mjs
//   save as FILE                     written to that file of the page's folder
//   same as: FILE                    stands in that file of the repository, which a test of its own runs
//   tested: FILE                     that test reads this very page
//   covered: FILE                    its commands stand in that test, whole, which is run by `make test`
// A sample without such a comment fails its test. Fences of `text` and `json` show what comes out and are no samples.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const DOCS = fileURLToPath(new URL("../site/docs/", import.meta.url));
const IMPORT = /^<<< ([^\s{]+)/;
const OUTPUT = new Set(["text", "json"]);
/** Pages of the repository whose samples a test of their own runs. */
const TESTED = new Map([["edge-wasm/npm/README.md", "edge-wasm/npm/test/samples.test.mjs"]]);

/** Every page with its samples: `{ page, samples: [{ language, text, place, rule, argument }] }`. */
export function pages() {
  return readdirSync(DOCS, { recursive: true })
    .filter((name) => name.endsWith(".md") && !name.startsWith("."))
    .sort()
    .map((page) => ({ page, samples: samplesOf(join(DOCS, page)) }));
}

function samplesOf(file) {
  const lines = included(file);
  const samples = [];
  let comment = "";
  for (let at = 0; at < lines.length; at += 1) {
    const { text, place } = lines[at];
    const said = /^<!-- (.+) -->$/.exec(text);
    const fence = /^ *```(\S*)/.exec(text);
    if (said) comment = said[1];
    else if (IMPORT.test(text)) {
      const from = resolve(dirname(file), IMPORT.exec(text)[1]);
      samples.push({ language: "import", text: readFileSync(from, "utf8"), place, ...rule(comment, place) });
      comment = "";
    } else if (fence) {
      const body = [];
      for (at += 1; !/^ *```$/.test(lines[at].text); at += 1) body.push(lines[at].text);
      if (!OUTPUT.has(fence[1])) samples.push({ language: fence[1], text: body.join("\n"), place, ...rule(comment, place) });
      comment = "";
    } else if (text !== "") comment = "";
  }
  return samples;
}

function rule(comment, place) {
  const own = TESTED.get(place.split(":")[0]);
  if (own) return { rule: "tested", argument: own };
  const [, name, argument = ""] =
    /^(run in the repository|run in the background until|run|checked|settings|commands|save as|same as:|tested:|covered:) ?(.*)$/.exec(comment) ?? [];
  return { rule: name?.replace(":", ""), argument };
}

/** The lines of a page with those of the pages that it includes, each with the place where it stands. */
function included(file) {
  return readFileSync(file, "utf8")
    .split("\n")
    .flatMap((text, index) => {
      const from = /^<!--@include: (\S+?)(?:\{.*\}|#\S+)?-->$/.exec(text)?.[1];
      if (!from) return [{ text, place: `${relative(ROOT, file)}:${index + 1}` }];
      const other = resolve(dirname(file), from);
      if (!existsSync(other)) throw new Error(`${file} includes ${from}, which is not there`);
      return included(other);
    });
}
