// The jose command line (Debian: jose): checks signatures alone. Reads {jwks_uri, ca, tokens} on standard input.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";

const { jwks_uri, tokens } = JSON.parse(await text(process.stdin));
const folder = mkdtempSync(join(tmpdir(), "jose-"));
for (const [name, token] of Object.entries(tokens)) {
  try {
    const { keys } = await (await fetch(jwks_uri)).json();
    const { kid } = JSON.parse(Buffer.from(token.split(".")[0], "base64url").toString());
    writeFileSync(join(folder, "key"), JSON.stringify(keys.find((key) => key.kid === kid)));
    writeFileSync(join(folder, "token"), token);
    const { status, stdout, stderr } = spawnSync("jose", ["jws", "ver", "-i", join(folder, "token"), "-k", join(folder, "key"), "-O-"], { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr || `status ${status}`);
    console.log(JSON.stringify({ name, sub: JSON.parse(stdout).sub }));
  } catch (error) {
    console.log(JSON.stringify({ name, error: error.cause?.code ?? error.message }));
  }
}
rmSync(folder, { recursive: true });
