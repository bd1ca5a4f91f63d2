// The bench runs: one short round on the JavaScript hosts. No figure is judged here.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { node22, root } from "../support/paths.mjs";

const bench = (args, env) => promisify(execFile)(node22, [join(root, "tests/bench/bench.mjs"), ...args], { cwd: root, env: { ...process.env, HOST: "", ALG: "", ...env } });

test("a quick bench writes its report, its tables and its plots", { timeout: 240_000 }, async (t) => {
  const out = mkdtempSync(join(tmpdir(), "edgeseal-bench-test-"));
  t.after(() => rmSync(out, { recursive: true, force: true }));
  await bench(["--out", out], { BENCH: "quick" });
  const { machine, date, rows } = JSON.parse(readFileSync(join(out, "report.json"), "utf8"));
  assert.ok(machine.cpu && machine.cores > 0 && !Number.isNaN(Date.parse(date)));
  for (const host of ["workerd", "node", "chromium"]) {
    for (const alg of ["ES256", "RS256"]) {
      for (const kase of ["distinct", "repeated", "wrong", "concurrent"]) {
        const row = rows.find((row) => row.bench === "verify" && row.host === host && row.alg === alg && row.case === kase);
        const values = row?.[kase === "concurrent" ? "per_s" : "us"];
        for (const name of ["edgeseal", "jose", "aws-jwt-verify", "webcrypto"]) assert.ok(values?.[name] > 0, `${host} ${alg} ${kase} ${name}`);
      }
    }
  }
  const started = rows.filter((row) => row.bench === "startup");
  assert.deepEqual(started.map((row) => row.case), ["first_token_from_request", "first_token_from_process"]);
  assert.ok(started.every(({ ms }) => ms.edgeseal > 0 && ms.jose > 0 && ms.empty > 0));
  assert.match(readFileSync(join(out, "report.md"), "utf8"), /\| workerd, distinct \| \d+\.\d\d \| \d+\.\d\d \|/);
  for (const kase of ["distinct", "repeated", "wrong", "concurrent"]) assert.ok(existsSync(join(out, `${kase}.svg`)));
});

test("a host or an algorithm that is none is named", async () => {
  await assert.rejects(bench(["--host", "deno"]), ({ code, stderr }) => code === 2 && stderr.includes("host deno is not one of signer, workerd, node, chromium, native"));
  await assert.rejects(bench(["--alg", "HS256"]), ({ code, stderr }) => code === 2 && stderr.includes("algorithm HS256 is not one of ES256"));
});
