// The same work in Node: mutual TLS, a durable audit row before the signature, C_Sign by pkcs11js, a check of the signature.
// Requests that arrive in one turn of the event loop share a transaction, as the signer's do.
// usage: node node.mjs SETTINGS.json; with `processes` above 1 they share the port (node:cluster).
import cluster from "node:cluster";
import { createHash, createPublicKey, randomBytes, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { createRequire } from "node:module";
import { DatabaseSync } from "node:sqlite";

const settings = JSON.parse(readFileSync(process.argv[2], "utf8"));
if (cluster.isPrimary && settings.processes > 1) {
  for (let count = 0; count < settings.processes; count += 1) cluster.fork();
  process.on("SIGTERM", () => { for (const worker of Object.values(cluster.workers)) worker.kill(); process.exit(0); });
} else serve();

function serve() {
  const pkcs11js = createRequire(settings.modules)("pkcs11js");
  const pkcs11 = new pkcs11js.PKCS11();
  pkcs11.load(settings.module);
  pkcs11.C_Initialize();
  const slot = pkcs11.C_GetSlotList(true).find((one) => pkcs11.C_GetTokenInfo(one).label.trim() === settings.label);
  const session = pkcs11.C_OpenSession(slot, pkcs11js.CKF_RW_SESSION | pkcs11js.CKF_SERIAL_SESSION);
  pkcs11.C_Login(session, pkcs11js.CKU_USER, readFileSync(settings.pin, "utf8").trim());
  pkcs11.C_FindObjectsInit(session, [{ type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PRIVATE_KEY }, { type: pkcs11js.CKA_ID, value: Buffer.from(settings.id, "hex") }]);
  const [key] = pkcs11.C_FindObjects(session, 1);
  pkcs11.C_FindObjectsFinal(session);
  const mechanism = { mechanism: pkcs11js.CKM_ECDSA };
  const publicKey = createPublicKey({ key: settings.jwk, format: "jwk" });
  const header = encode({ alg: "ES256", kid: settings.jwk.kid, typ: "JWT" });

  const database = new DatabaseSync(settings.database, { timeout: 5_000 });
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE IF NOT EXISTS audit (id INTEGER PRIMARY KEY, at INTEGER, agent TEXT, jti TEXT, digest BLOB)");
  const insert = database.prepare("INSERT INTO audit (at, agent, jti, digest) VALUES (?, ?, ?, ?)");

  let waiting = [];
  function turn() {
    const group = waiting;
    waiting = [];
    database.exec("BEGIN IMMEDIATE");
    for (const one of group) insert.run(one.at, one.agent, one.jti, one.digest);
    database.exec("COMMIT");
    for (const { input, digest, response } of group) {
      pkcs11.C_SignInit(session, mechanism, key);
      const signature = pkcs11.C_Sign(session, digest, Buffer.alloc(64));
      if (!verify("sha256", input, { key: publicKey, dsaEncoding: "ieee-p1363" }, signature)) {
        response.writeHead(500).end();
        continue;
      }
      const body = JSON.stringify({ token: `${input}.${signature.toString("base64url")}`, kid: settings.jwk.kid });
      response.writeHead(200, { "content-type": "application/json", "content-length": body.length }).end(body);
    }
  }

  const tls = { cert: readFileSync(settings.cert), key: readFileSync(settings.key), ca: readFileSync(settings.ca), requestCert: true, rejectUnauthorized: true };
  createServer(tls, (request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const { claims, audience, ttl = 600 } = JSON.parse(Buffer.concat(chunks));
      if (audience !== settings.audience || ttl > 3_600) return void response.writeHead(403).end();
      const at = Date.now();
      const iat = Math.floor(at / 1_000);
      const jti = randomBytes(16).toString("base64url");
      const input = Buffer.from(`${header}.${encode({ ...claims, iss: settings.issuer, aud: audience, iat, exp: iat + ttl, jti })}`);
      const agent = request.socket.getPeerCertificate().subject?.CN ?? "";
      waiting.push({ at, agent, jti, input, digest: createHash("sha256").update(input).digest(), response });
      if (waiting.length === 1) setImmediate(turn);
    });
  }).listen(settings.port, "127.0.0.1");
}

function encode(value) {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
