import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** A name of core with what its documentation says. */
export interface Named {
  name: string;
  what: string;
}

const source = fileURLToPath(new URL("../../../../core/src/error.rs", import.meta.url));

/** The codes of refusals and the checks, as core's source has them: no second list that could differ. */
export default {
  watch: [source],
  load(): { codes: Named[]; checks: Named[] } {
    const text = readFileSync(source, "utf8");
    return { codes: entries(text, "ErrorCode"), checks: entries(text, "Check") };
  },
};

declare const data: { codes: Named[]; checks: Named[] };
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
    found.push({ name, what: what.join(" ").replaceAll(/\[?`(?:crate::)?([^`]+)`\]?/g, "$1") });
    what = [];
  }
  if (found.length === 0) throw new Error(`core/src/error.rs: the list ${list} cannot be read`);
  return found;
}
