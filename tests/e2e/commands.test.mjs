// Every command of the overviews in the signer's README, as it stands there, against a running signer: the names in it (KID, JTI, shop)
// are those of what there is. A command that the README shows and this file does not play is a failure.

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { appendFileSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { before, test } from "node:test";
import { bench } from "../support/harness.mjs";
import { call } from "../support/http.mjs";
import { edgeseal, root, softhsm } from "../support/paths.mjs";
import { cli, issue } from "../support/signer.mjs";
import { until } from "../support/wait.mjs";

const here = bench("commands");
const AUDIENCE = "https://api.example.com";
let signer;
let folder;
let token;

before(async () => {
  signer = await here.signer({ args: ["--alg", "ES256"] });
  folder = join(signer.state, "readme");
  mkdirSync(folder);
  // Relative paths in it are those beside it.
  copyFileSync(signer.ready.config, join(signer.state, "edges.toml"));
  appendFileSync(join(signer.state, "edges.toml"), '\n[edges.eu]\nurl = "http://localhost:9"\n');
  token = await issue(signer.ready, { profile: "default", audience: AUDIENCE, claims: { sub: "alice" } });
});

const json = async (...args) => {
  const { code, out, err } = await cli([...args, "--config", signer.ready.config, "--json"]);
  assert.equal(code, 0, `edgeseal ${args.join(" ")}: ${err}`);
  return JSON.parse(out);
};
const key = async (kid) => (await json("keys", "list", "--all")).find((one) => one.kid === kid);
const active = async () => (await json("keys", "list")).find(({ state, purpose }) => state === "active" && purpose === "token").kid;
const fresh = async () => (await json("keys", "generate")).kid;
const payload = (text) => JSON.parse(Buffer.from(text.split(".")[1], "base64url").toString());
const identity = () => ({ ca: readFileSync(signer.ready.ca, "utf8"), cert: readFileSync(signer.ready.agent_cert, "utf8"), key: readFileSync(signer.ready.agent_key, "utf8") });

/** What stands behind each name: `command: { names, before, refused, then }`. */
const PLAYS = {
  "edgeseal keys list": { then: ({ out }) => assert.match(out, /active/) },
  "edgeseal keys show KID": { names: async () => ({ KID: await active() }), then: ({ out, KID }) => assert.ok(out.includes(KID)) },
  "edgeseal keys generate": { then: ({ out }) => assert.match(out, /published/) },
  "edgeseal keys activate KID": { names: async () => ({ KID: await fresh() }), then: async ({ KID }) => assert.equal(await active(), KID) },
  "edgeseal keys retire KID": { names: async () => ({ KID: await fresh() }), then: state("retired") },
  "edgeseal keys suspend KID": { names: async () => ({ KID: await active() }), then: state("suspended") },
  "edgeseal keys resume KID": { names: async () => ({ KID: (await json("keys", "list")).find((one) => one.state === "suspended").kid }), then: state("active") },
  "edgeseal keys compromise KID --yes": { names: async () => ({ KID: await fresh() }), then: state("compromised") },
  "edgeseal keys schedule-destroy KID --days 7 --yes": { names: retired, then: ({ out }) => assert.match(out, /^proposed by local:\S+; it is done when another person says the same/) },
  "edgeseal keys cancel-destroy KID": { names: retired, then: state("retired") },
  "edgeseal keys import --id CKA_ID": {
    names: () => ({ CKA_ID: pair() }),
    then: async ({ CKA_ID }) => assert.equal((await json("keys", "list")).find((one) => one.cka_id === CKA_ID).origin, "imported"),
  },

  "edgeseal revoke kid KID --yes": { names: async () => ({ KID: await fresh() }), then: state("compromised") },
  "edgeseal revoke jti JTI --yes": { names: () => ({ JTI: payload(token).jti }), then: listed("JTI") },
  "edgeseal revoke sub alice --yes": { then: listed("alice") },
  "edgeseal revoke jti JTI --agent shop --yes": {
    // Its own key is made when it asks for the profile.
    names: async () => {
      assert.equal((await call(`${signer.ready.agent}/v1/profiles/default`, identity())).status, 200);
      return { JTI: "of-its-own", shop: "demo-app" };
    },
    then: async ({ JTI, out }) => {
      assert.match(out, /\/agents\/demo-app/);
      await listed("JTI")({ JTI });
    },
  },
  "edgeseal revoke list": { then: ({ out }) => assert.match(out, /alice/) },
  "edgeseal edges pin NAME": { names: () => ({ NAME: "eu" }), config: "edges.toml", then: ({ out }) => assert.match(out, /control_keys/) },
  "edgeseal edges list": { config: "edges.toml", then: ({ out }) => assert.match(out, /eu/) },

  "edgeseal users setup-code": { then: ({ out }) => assert.match(out, /[A-Z0-9]{5}-[A-Z0-9]{5}/) },
  "edgeseal users invite bob --role operator": { then: ({ out }) => assert.match(out, /[A-Z0-9]{5}-[A-Z0-9]{5}/) },
  "edgeseal users list": { then: ({ out }) => assert.match(out, /bob/) },
  "edgeseal users disable bob --yes": { then: async () => assert.ok((await json("users", "list")).users.find(({ name }) => name === "bob").disabled) },

  "edgeseal audit export --out export.jsonl --checkpoint kept-elsewhere.txt": { then: () => assert.ok(existsSync(join(folder, "kept-elsewhere.txt"))) },
  "edgeseal audit verify export.jsonl": { then: ({ out }) => assert.match(out, /rows, chain whole/) },
  "edgeseal audit verify later.jsonl --checkpoint kept-elsewhere.txt": { before: "edgeseal audit export --out later.jsonl", then: ({ out }) => assert.match(out, /rows, chain whole/) },
  "edgeseal audit find --token eyJ…": { names: () => ({ "eyJ…": token }), then: ({ out }) => assert.match(out, /^row \S+, agent demo-app, profile default, mode claims/) },

  [`echo '{"algorithm":"ES256","audiences":["${AUDIENCE}"],"modes":["claims","sd"]}' | edgeseal profiles set web --settings -`]: {},
  "edgeseal profiles list": { then: ({ out }) => assert.match(out, /web/) },
  "edgeseal agents invite shop --profile web": {},
  "edgeseal agents invite shop": { then: ({ out }) => enrol(out) },
  "edgeseal certs renew --config agent.toml": { then: ({ renewedFrom }) => assert.notEqual(readFileSync(join(folder, "agent.pem"), "utf8"), renewedFrom), names: () => ({ renewedFrom: readFileSync(join(folder, "agent.pem"), "utf8") }) },
  "edgeseal profiles retire web --yes": { then: ({ out }) => assert.match(out, /web/) },
  "edgeseal profiles delete web --yes": { refused: /shop/ },
  "edgeseal agents delete shop --yes": { before: "edgeseal agents revoke shop --yes", then: async () => assert.ok(!(await json("agents", "list")).agents.some(({ agent }) => agent === "shop")) },

  "edgeseal keys split --key old.pem --shares 3 --out .": { before: "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out old.pem", then: () => assert.ok(existsSync(join(folder, "share-3-of-3.json"))) },
  "edgeseal keys import --profile default --share share-1-of-3.json --share share-2-of-3.json --share share-3-of-3.json": {
    then: async () => assert.ok((await json("keys", "list")).filter((one) => one.origin === "imported").length >= 2),
  },
};

test("each command of the README's overviews does what it says, in the order of the page", async (context) => {
  const shown = commands();
  assert.deepEqual(shown.filter((command) => !PLAYS[command]), [], "every command is played");
  assert.deepEqual(Object.keys(PLAYS).filter((command) => !shown.includes(command)), [], "every play is shown");
  for (const command of shown) {
    await context.test(command, async () => {
      const { names, before: first, config, refused, then } = PLAYS[command];
      if (first) assert.equal((await shell(first)).code, 0, first);
      const known = (await names?.()) ?? {};
      const typed = Object.entries(known).reduce((text, [name, value]) => text.replace(name, value), command);
      const { code, out, err } = await shell(typed, config);
      if (refused) {
        assert.notEqual(code, 0);
        assert.match(err, refused);
      } else assert.equal(code, 0, `${typed}\n${out}${err}`);
      await then?.({ ...known, out, err });
    });
  }
  await until("what kept the profile is gone", async () => (await shell("edgeseal profiles delete web --yes")).code === 0);
});

/** The commands of the fences that are an overview. */
function commands() {
  const page = readFileSync(join(root, "signer-native/README.md"), "utf8");
  const fences = [...page.matchAll(/^<!-- commands -->\n```(?:sh|console)\n([\s\S]*?)^```$/gm)].map(([, text]) => text);
  return fences.flatMap((text) => {
    const lines = text.split("\n").filter(Boolean);
    const typed = lines.some((line) => line.startsWith("$ ")) ? lines.filter((line) => line.startsWith("$ ")).map((line) => line.slice(2)) : lines;
    return typed.map((line) => line.replace(/\s+#.*$/, "").trim());
  });
}

function shell(command, config) {
  const file = config ? join(signer.state, config) : signer.ready.config;
  const env = { ...process.env, EDGESEAL_CONFIG: file, PATH: `${dirname(edgeseal)}:${process.env.PATH}` };
  return new Promise((resolve) => execFile("sh", ["-c", command], { cwd: folder, env, timeout: 60_000 }, (error, out, err) => resolve({ code: error ? error.code : 0, out, err })));
}

function state(expected) {
  return async ({ KID }) => assert.equal((await key(KID)).state, expected);
}

function listed(name) {
  return async (known) => {
    const value = known[name] ?? name;
    assert.ok((await json("revoke", "list")).revocations.some((entry) => entry.value === value), value);
  };
}

async function retired() {
  return { KID: (await json("keys", "list", "--all")).find((one) => one.state === "retired").kid };
}

/** A pair that another program makes in the token: its CKA_ID. */
function pair() {
  const id = "0123456789abcdef0123456789abcdef";
  execFileSync("pkcs11-tool", ["--module", softhsm(), "--token-label", signer.ready.token_label, "--login", "--pin", "env:EDGESEAL_TEST_PIN", "--keypairgen", "--key-type", "EC:prime256v1", "--id", id, "--label", "from elsewhere", "--usage-sign", "--sensitive"], {
    env: { ...process.env, SOFTHSM2_CONF: signer.ready.softhsm_conf, EDGESEAL_TEST_PIN: readFileSync(signer.ready.pin_file, "utf8").trim() },
  });
  return id;
}

/** Comes in with the code that an invitation printed, as the next page of the README does. */
async function enrol(invitation) {
  // It may begin and end with a hyphen.
  const code = /[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}/.exec(invitation)[0];
  const { code: exit, out, err } = await cli(["agent", "enroll", "--url", signer.ready.issuer, "--out", folder], { input: `${code}\n` });
  assert.equal(exit, 0, err);
  writeFileSync(join(folder, "agent.toml"), out.replace("https://SIGNER:8444", signer.ready.agent).replace("/run/edgeseal/agent.sock", join(folder, "agent.sock")));
}
