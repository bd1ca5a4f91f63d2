// HAProxy's jwt_verify before a backend that echoes: checks signatures alone. Reads {jwks_uri, tokens} on standard input.

import { spawn } from "node:child_process";
import { createPublicKey } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";

const { jwks_uri, tokens } = JSON.parse(await text(process.stdin));
const folder = mkdtempSync(join(tmpdir(), "haproxy-"));
const port = await new Promise((found) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => found(port));
  });
});
let haproxy;
try {
  const { keys } = await (await fetch(jwks_uri)).json();
  // HAProxy reads PEM files at its start: one rule for each algorithm that it knows.
  const known = keys.filter(({ alg }) => /^(ES|RS)/.test(alg));
  const rules = known.map((jwk) => {
    const file = join(folder, `${jwk.alg}.pem`);
    writeFileSync(file, createPublicKey({ key: jwk, format: "jwk" }).export({ type: "spki", format: "pem" }));
    return `  http-request set-var(txn.ok) http_auth_bearer,jwt_verify(txn.alg,"${file}") if { var(txn.alg) -m str ${jwk.alg} }`;
  });
  const file = join(folder, "haproxy.cfg");
  writeFileSync(
    file,
    [
      "global", "  tune.bufsize 65536", "defaults", "  mode http", "  timeout connect 5s", "  timeout client 5s", "  timeout server 5s",
      "frontend in", `  bind 127.0.0.1:${port}`, "  http-request set-var(txn.alg) http_auth_bearer,jwt_header_query('$.alg')", ...rules,
      "  http-request deny deny_status 401 unless { var(txn.ok) -m int 1 }",
      "  http-request set-var(txn.sub) http_auth_bearer,jwt_payload_query('$.sub')",
      "  http-request return status 200 content-type text/plain lf-string %[var(txn.sub)]", "",
    ].join("\n"),
  );
  haproxy = spawn("haproxy", ["-db", "-f", file], { stdio: ["ignore", "ignore", "inherit"] });
  for (const [name, token] of Object.entries(tokens)) {
    for (let tries = 0; ; tries++) {
      try {
        const answer = await fetch(`http://127.0.0.1:${port}/`, { headers: { authorization: `Bearer ${token}` } });
        console.log(JSON.stringify({ name, ...(answer.status === 200 ? { sub: await answer.text() } : { error: `status ${answer.status}` }) }));
        break;
      } catch (error) {
        if (tries > 100) throw error;
        await pause(50);
      }
    }
  }
} catch (error) {
  for (const name of Object.keys(tokens)) console.log(JSON.stringify({ name, error: error.cause?.code ?? error.message }));
} finally {
  haproxy?.kill();
  rmSync(folder, { recursive: true });
}
