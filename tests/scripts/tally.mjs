// Reads how many tests passed and failed out of what `cargo test`, `node --test` and our own runners print.

/**
 * @param {"cargo" | "node" | "summary"} kind
 * @param {string} output
 * @returns {{passed: number, failed: number, names: string[], notes: string[]}} a skipped or ignored test counts as failed
 */
export function tally(kind, output) {
  // eslint-disable-next-line no-control-regex
  const lines = output.replace(/\u001b\[[0-9;]*m/g, "").split(/\r?\n/);
  const counts = { passed: 0, failed: 0, names: [], notes: [] };
  for (const line of lines) readers[kind](line, counts);
  if (kind === "summary") {
    const last = lines.filter((line) => summary.test(line)).at(-1);
    if (last) [counts.passed, counts.failed] = summary.exec(last).slice(1).map(Number);
  }
  for (const line of lines) {
    const note = /^\s*(?:ℹ |# )?(?:\d+ )?not run: (.+)$/.exec(line);
    if (note) counts.notes.push(note[1]);
  }
  counts.names = [...new Set(counts.names)];
  counts.notes = [...new Set(counts.notes)];
  return counts;
}

const summary = /^(\d+) passed, (\d+) failed\s*$/;

const readers = {
  cargo(line, counts) {
    const result = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;/.exec(line);
    if (result) {
      counts.passed += Number(result[1]);
      counts.failed += Number(result[2]) + Number(result[3]);
    }
    const name = /^test (.+) \.\.\. (FAILED|ignored)/.exec(line);
    if (name) counts.names.push(name[2] === "ignored" ? `${name[1]} (ignored)` : name[1]);
    const crashed = /^error: (test failed|\d+ (?:target|doctest)s? failed|could not compile .*)/.exec(line);
    if (crashed && line.includes("could not compile")) counts.names.push(line);
  },
  node(line, counts) {
    const count = /^(?:ℹ|#) (pass|fail|cancelled|skipped|todo) (\d+)\s*$/.exec(line);
    if (count) counts[count[1] === "pass" ? "passed" : "failed"] += Number(count[2]);
    const name = /^\s*(?:✖|not ok \d+ -) (.+?)(?: \(\d[\d.]*m?s\))?$/.exec(line);
    if (name && name[1] !== "failing tests:") counts.names.push(name[1]);
  },
  summary(line, counts) {
    const name = /^\s*✗ (.+)$/.exec(line);
    if (name) counts.names.push(name[1]);
  },
};
