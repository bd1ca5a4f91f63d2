import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** A name of core with what its documentation says, as HTML. */
export interface Named {
  name: string;
  what: string;
}

interface Data {
  codes: Named[];
  checks: Named[];
  hosts: Named[];
}

const source = fileURLToPath(new URL("../../../../core/src/error.rs", import.meta.url));
const hosts = fileURLToPath(new URL("../../../../core/src/http.rs", import.meta.url));

/** The codes of refusals, those that hosts add, and the checks, as core's source has them: no second list that could differ. */
export default {
  watch: [source, hosts],
  load(): Data {
    const text = readFileSync(source, "utf8");
    return { codes: entries(text, "ErrorCode"), checks: entries(text, "Check"), hosts: hostsCodes(readFileSync(hosts, "utf8")) };
  },
};

declare const data: Data;
export { data };

function entries(text: string, list: string): Named[] {
  const block = new RegExp(`^    ${list} \\{\\n([\\s\\S]*?)\\n    \\}`, "m").exec(text)?.[1];
  if (!block) throw new Error(`core/src/error.rs has no list ${list}`);
  const found: Named[] = [];
  let what: string[] = [];
  for (const line of block.split("\n").map((line) => line.trim())) {
    if (line.startsWith("///")) what.push(line.slice(3).trim());
    const name = /^\w+ = "(\w+)",$/.exec(line)?.[1];
    if (!name) continue;
    found.push({ name, what: html(what.join(" ")) });
    what = [];
  }
  if (found.length === 0) throw new Error(`core/src/error.rs: the list ${list} cannot be read`);
  return found;
}

/** Each code that `Refusal::code` has of its own, with what the constructor of its name says. */
function hostsCodes(text: string): Named[] {
  const block = /^    pub fn code\(&self\)[\s\S]*?^    \}$/m.exec(text)?.[0] ?? "";
  const names = [...block.matchAll(/^ +Kind::\w+ => "(\w+)",$/gm)].map(([, name = ""]) => name);
  if (names.length === 0) throw new Error("core/src/http.rs: the codes cannot be read");
  return names.map((name) => {
    const what = new RegExp(`((?:^ +///.*\\n)+) +pub fn ${name}\\(`, "m").exec(text)?.[1];
    if (!what) throw new Error(`core/src/http.rs: nothing says what ${name} means`);
    return { name, what: html(what.replaceAll(/^ +\/\/\/ ?/gm, "").trim().replaceAll(/\s+/g, " ")) };
  });
}

/** A sentence of rustdoc: links stay text, code is marked. */
function html(sentence: string): string {
  return sentence
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(/\[([^\]]+)\](?:\([^)]*\))?/g, "$1")
    .replaceAll(/`(?:crate::)?([^`]+)`/g, "<code>$1</code>");
}
