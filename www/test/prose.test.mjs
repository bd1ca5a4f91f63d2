// What pages list by hand is compared with what it is a list of: codes, alarms, dangerous acts, figures.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "./samples.mjs";

const read = (file) => readFileSync(join(ROOT, file), "utf8");
const readme = read("signer-native/README.md");
const section = (text, heading) => text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`));

test("every alarm has its runbook, under its name", () => {
  const alarms = [...read("signer-native/deploy/alerts.yml").matchAll(/^ *- alert: (\w+)$/gm)].map(([, name]) => name);
  assert.ok(alarms.length >= 8, `${alarms.length} alarms found`);
  const runbooks = read("signer-native/RUNBOOKS.md");
  const named = [...runbooks.matchAll(/^Alarms?: (.+)$/gm)].flatMap(([, line]) => [...line.matchAll(/`(Edgeseal\w+)`/g)].map(([, name]) => name));
  assert.deepEqual(alarms.filter((name) => !named.includes(name)), []);
  assert.deepEqual(named.filter((name) => !alarms.includes(name)), [], "no runbook is for an alarm that there is not");
});

test("every code of the signer stands in its table with its status", () => {
  const rust = read("signer-native/src/http/problem.rs");
  const statuses = { BAD_REQUEST: 400, UNAUTHORIZED: 401, FORBIDDEN: 403, NOT_FOUND: 404, METHOD_NOT_ALLOWED: 405, REQUEST_TIMEOUT: 408, CONFLICT: 409, PAYLOAD_TOO_LARGE: 413, UNSUPPORTED_MEDIA_TYPE: 415, MISDIRECTED_REQUEST: 421, UNPROCESSABLE_ENTITY: 422, TOO_MANY_REQUESTS: 429, INTERNAL_SERVER_ERROR: 500, SERVICE_UNAVAILABLE: 503 };
  const codes = [...rust.matchAll(/Self::\w+ => (?:\{\s*)?\("(\w+)", StatusCode::(\w+),/g)].map(([, code, status]) => [code, statuses[status]]);
  assert.equal(codes.length, Number(/ALL: \[Self; (\d+)\]/.exec(rust)[1]));
  // What the agent alone answers, beside the application, stands below the table.
  const agents = ["peer_refused", "origin_refused", "host_refused", "secret_required", "signer_unavailable"];
  const rows = [...readme.matchAll(/^\| (\d{3}(?:, \d{3})*) \| (.+) \|$/gm)].map(([, status, text]) => ({ statuses: status.split(", ").map(Number), text }));
  const missing = codes.filter(([code, status]) => !agents.includes(code) && !rows.some((row) => row.statuses.includes(status) && row.text.includes(`\`${code}\``)));
  assert.deepEqual(missing, []);
  for (const code of agents) assert.ok(readme.includes(`\`${code}\``), code);
});

test("what asks for the passkey is told in full", () => {
  const rules = [...read("signer-native/src/http/access.rs").matchAll(/^ {4}\("(\w+)", "([^"]+)", \w+, (\w+)\),$/gm)].map(([, method, path, care]) => ({ operation: `${method} ${path}`, care }));
  const told = {
    "POST /admin/v1/keys:import": "importing a key",
    "POST /admin/v1/keys/{kid}:compromise": "declaring one compromised",
    "POST /admin/v1/keys/{kid}:schedule-destroy": "its destruction",
    "POST /admin/v1/approvals/{proposal}:approve": "the approval of it",
    "POST /admin/v1/profiles/{profile}:retire": "retiring or deleting a profile",
    "DELETE /admin/v1/profiles/{profile}": "retiring or deleting a profile",
    "DELETE /admin/v1/agents/{agent}": "deleting an agent",
    "POST /admin/v1/users": "inviting and changing users",
    "POST /admin/v1/users/{user}:set-role": "inviting and changing users",
    "POST /admin/v1/users/{user}:disable": "inviting and changing users",
    "POST /admin/v1/users/{user}:enable": "inviting and changing users",
    "POST /admin/v1/users/{user}:invite": "inviting and changing users",
  };
  assert.ok(rules.length > 40, `${rules.length} rules found`);
  assert.deepEqual(rules.filter(({ care }) => care === "Dangerous").map(({ operation }) => operation).sort(), Object.keys(told).sort());
  const acts = /- \*\*Dangerous acts\*\*[\s\S]*?(?=\n- )/.exec(section(readme, "Console"))[0].replaceAll(/\s+/g, " ");
  for (const words of Object.values(told)) assert.ok(acts.includes(words), words);
});

test("figures beside jose are those of the first page", () => {
  const [, algorithms] = /\n\| \| (.+) \|\n\|[-:|]+\|\n\| in workerd \|/.exec(read("README.md"));
  const [, figures] = /\n\| in workerd \| (.+) \|\n/.exec(read("README.md"));
  const list = (row) => row.split("|").map((cell) => cell.trim()).join(", ");
  assert.ok(read("www/site/docs/concepts/comparison.md").includes(`| verifying ${list(algorithms)} in workerd | ${list(figures)} times as fast |`), `${list(algorithms)}: ${list(figures)}`);
});
