import assert from "node:assert/strict";
import test from "node:test";
import { tally } from "./tally.mjs";

test("cargo: every result line counts, an ignored test is not a passed one", () => {
  const output = [
    "test a ... ok",
    "test b ... FAILED",
    "test c ... ignored, slow",
    "test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
    "   Doc-tests core",
    "test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
  ].join("\n");
  assert.deepEqual(tally("cargo", output), { passed: 8, failed: 2, names: ["b", "c (ignored)"], notes: [] });
});

test("node: both reporters, cancelled and skipped tests are failures", () => {
  assert.deepEqual(tally("node", "✔ one (1.2ms)\n✖ two (3ms)\nℹ tests 3\nℹ pass 1\nℹ fail 1\nℹ cancelled 0\nℹ skipped 1\nℹ todo 0"), { passed: 1, failed: 2, names: ["two"], notes: [] });
  assert.equal(tally("node", "# pass 4\n# fail 0").passed, 4);
});

test("our own runners: the last summary line", () => {
  assert.deepEqual(tally("summary", "1 passed, 9 failed\n  not run: shared vectors\n12 passed, 0 failed\n"), { passed: 12, failed: 0, names: [], notes: ["shared vectors"] });
});
