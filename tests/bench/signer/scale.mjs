// Whether a token costs more where there is more of everything: keys (spread over issuers), agents, rows of the audit log.
import { createHash } from "node:crypto";
import { copyFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { summary } from "../measure.mjs";

/** Keys of one issuer: below what a JWK Set may hold. */
const PER_ISSUER = 40;
/** Keys that the load uses, in turn. */
const USED = 100;
const CONNECTIONS = 32;

/**
 * A case that failed has `failed`, which says why, instead of values: the others are worth having without it.
 *
 * @returns {Promise<{row: object, what: string, values?: {median: number, min: number, max: number}, failed?: string}[]>}
 */
export async function scale({ token, load, us, body, quick }) {
  const seconds = quick ? 0.5 : 2;
  const rounds = quick ? 1 : 3;
  const [keys, agents, rows] = quick ? [200, 200, 2_000] : [10_000, 10_000, 1_000_000];
  const { DatabaseSync } = createRequire(import.meta.url)("node:sqlite");
  const database = () => new DatabaseSync(join(token.dir, "edgeseal.db"), { timeout: 10_000 });
  const points = [];
  const measure = async (kase, change, bodies) => {
    const signer = await token.serve(kase.replaceAll(/\W/g, "-"), change);
    const command = { ...us, ...signer.agent, bodies, connections: CONNECTIONS, seconds };
    try {
      // Handles are found once per session: that is not the cost of a token.
      await load.run({ ...command, seconds: quick ? 2 : 5 });
      const found = [];
      for (let round = 0; round < rounds; round += 1) found.push(1e6 / (await load.run(command)).per_s);
      points.push({ kase, found });
      return { found };
    } catch (error) {
      return { failed: error.message };
    } finally {
      await signer.end();
    }
  };
  const manual = (text) => `${text}\n[rotation]\nautomatic = false\n`;

  const alone = await measure("1_key", manual, [body("default")]);
  const of = {
    agents: await measure(`${agents}_agents`, (text) => `${manual(text)}${Array.from({ length: agents }, (_, at) => `[agents.a${at}]\nprofiles = ["default"]\n`).join("")}`, [body("default")]),
  };
  addRows(database(), rows);
  of.rows = await measure(`${rows}_audit_rows`, manual, [body("default")]);
  const few = await addKeys(token, database(), USED);
  of.few_keys = await measure(`${USED}_keys`, (text) => manual(few.configure(text)), few.bodies(body));
  const many = await addKeys(token, database(), keys);
  of.keys = await measure(`${keys}_keys`, (text) => manual(many.configure(text)), many.bodies(body));

  const medians = Object.fromEntries(points.map(({ kase, found }) => [kase, Number(summary(found).median.toFixed(1))]));
  const spread = Object.fromEntries(points.map(({ kase, found }) => [kase, [Number(Math.min(...found).toFixed(1)), Number(Math.max(...found).toFixed(1))]]));
  const row = { bench: "sign", host: "native", alg: "ES256", case: "scale", us: medians, spread, note: `${USED} keys sign in turn where there are so many; of more, the pairs beyond those are copies of one in the token, each with a row and a JWK of its own` };
  const times = (many, than) => {
    const failed = many.failed ?? than.failed;
    return failed ? { failed } : { values: summary(many.found.map((value, at) => value / than.found[at])) };
  };
  return [
    { row, what: `signer: a token beside ${agents} agents, times one without`, ...times(of.agents, alone) },
    { row: undefined, what: `signer: a token beside ${rows} rows of the audit log, times one without`, ...times(of.rows, alone) },
    { row: undefined, what: `signer: a token of ${USED} keys, times one of a single key`, ...times(of.few_keys, alone) },
    { row: undefined, what: `signer: a token beside ${keys} keys, times one beside ${USED}`, ...times(of.keys, of.few_keys) },
  ];
}

/** Rows as another signer's chain would have left them, with a checkpoint that has spoken of them. */
function addRows(database, count) {
  database.exec(`WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${count})
    INSERT INTO audit (chain, seq, hash, digest, body) SELECT 'bench', n, hex(randomblob(16)), hex(randomblob(22)), '{"chain":"bench","seq":' || n || ',"x":"' || hex(randomblob(150)) || '"}' FROM numbers`);
  database.exec(`INSERT INTO chains (chain, seq, hash, stated) VALUES ('bench', ${count}, 'none', ${count})`);
  database.close();
}

let made = [];
let ballast;

/** Keys with a profile each, until there are `count`; the first USED of them have pairs of their own in the token. */
async function addKeys(token, database, count) {
  const tokens = join(token.dir, "tokens");
  const folder = join(tokens, readdirSync(tokens).find((name) => /^[0-9a-f-]{36}$/.test(name)));
  if (!ballast) {
    const objects = () => new Set(readdirSync(folder).filter((name) => name.endsWith(".object")));
    const old = objects();
    const lines = (await token.tool(["generate", String(USED + 1)])).trim().split("\n").map((line) => line.split(" "));
    made = lines.slice(0, USED).map(([id, point]) => ({ id, point }));
    // Which objects belong to the pair beyond those: the two that were written last.
    const fresh = [...objects()].filter((name) => !old.has(name)).map((name) => ({ name, time: statSync(join(folder, name), { bigint: true }).mtimeNs }));
    ballast = { objects: fresh.sort((a, b) => (a.time < b.time ? -1 : 1)).slice(-2).map(({ name }) => name), point: lines.at(-1)[1], written: 0 };
  }
  const insert = database.prepare(
    "INSERT OR IGNORE INTO keys (cka_id, purpose, issuer, profile, agent, algorithm, rsa_bits, origin, state, created_at, published_at, activated_at, max_lifetime, kid, jwk) VALUES (?, 'token', ?, ?, NULL, 'ES256', 0, 'generated', 'active', ?, ?, ?, 3600, ?, ?)",
  );
  database.exec("BEGIN");
  const now = Date.now() - 3_600_000;
  for (let at = 0; at < count; at += 1) {
    const { id, point } = made[at] ?? { id: createHash("sha256").update(`bench ${at}`).digest("hex").slice(0, 32), point: ballast.point };
    const [x, y] = [point.slice(2, 66), point.slice(66)].map((hex) => Buffer.from(hex, "hex").toString("base64url"));
    const kid = createHash("sha256").update(id).digest("base64url");
    insert.run(id, `t${Math.floor(at / PER_ISSUER)}`, `p${at}`, now, now, now, kid, JSON.stringify({ alg: "ES256", crv: "P-256", kid, kty: "EC", use: "sig", x, y }));
  }
  database.exec("COMMIT");
  database.close();
  for (; ballast.written < count - USED; ballast.written += 1) {
    for (const name of ballast.objects) {
      const copy = createHash("sha256").update(`${name} ${ballast.written}`).digest("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/, "$1-$2-$3-$4-$5");
      copyFileSync(join(folder, name), join(folder, `${copy}.object`));
      writeFileSync(join(folder, `${copy}.lock`), "");
    }
  }
  const issuers = Math.ceil(count / PER_ISSUER);
  return {
    configure(text) {
      const base = /^issuer = "(.+)"/m.exec(text)[1];
      const names = Array.from({ length: count }, (_, at) => `"p${at}"`);
      const sections = [
        ...Array.from({ length: issuers }, (_, at) => `[issuers.t${at}]\nurl = "${base}/t/${at}"`),
        ...Array.from({ length: count }, (_, at) => `[profiles.p${at}]\nalgorithm = "ES256"\nissuer = "t${Math.floor(at / PER_ISSUER)}"\naudiences = ["*"]`),
      ];
      return `${text.replace(/(\[agents\.\S+\]\nprofiles = \[)/, `$1${names.join(", ")}, `)}\n${sections.join("\n")}\n`;
    },
    bodies: (body) => Array.from({ length: USED }, (_, at) => body(`p${at}`)),
  };
}
