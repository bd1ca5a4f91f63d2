// Reads one corpus line and asks the npm package for its verdict. Runs in Node, in workerd and in Chromium, so it uses nothing
// but the language; README.md says how a line is read.

/** The last second of the year 9999. */
const LATEST = 253402300799;

/** Names of the policy on the two sides. */
const POLICY = {
  typ: "typ",
  leeway: "leeway",
  max_lifetime: "maxLifetime",
  max_age: "maxAge",
  audience_claim: "audienceClaim",
  required_claims: "requiredClaims",
  require_key_exp: "requireKeyExp",
  sd_jwt: "sdJwt",
};
/** The same inside `sd_jwt`. */
const SD_JWT = { key_binding: "keyBinding", algorithms: "algorithms", max_age: "maxAge", allow_plain: "allowPlain" };
/** Every name that a policy may have. */
const KNOWN = { ...POLICY, iss: "", aud: "", require_exp: "", allow_rsa_exponent_3: "", skip_nonce: "", nonce: "" };

/** An RSA exponent other than 3 and 65537. */
const ODD_EXPONENT = /"e"\s*:\s*"(?!(?:AQAB|Aw)")/;

/** A line that never reaches the package. */
class Unread extends Error {
  constructor(id, code = "line_malformed") {
    super(code);
    this.id = id;
    this.code = code;
  }
}

/** Verifiers that are kept at most; the least recently used goes first. */
const KEPT = 256;

/**
 * How the package is asked.
 *
 * @typedef {object} Mode
 * @property {"webcrypto" | "rustcrypto"} [backend] the only one; without it the package chooses
 * @property {boolean} [warm] with verifiers that are kept from line to line, as in production
 * @property {boolean} [tables] warm, with a table for each ES256 key, and without the cache of tokens, which would answer instead; bare
 * signatures by the package's own arithmetic alone
 */

/**
 * A judge of chunks, with a memory of its own.
 *
 * @param {typeof import("edgeseal")} edgeseal
 * @param {typeof import("edgeseal")} reference `edgeseal/reference`, the one that has pure Rust on every host
 * @param {boolean} clock whether the host's clock runs while it works
 */
export function judges(edgeseal, reference, clock) {
  const kept = new Map();
  return async (chunk, mode) => {
    const verdicts = [];
    for (const line of splitLines(chunk)) {
      const began = performance.now();
      const face = mode.backend === "rustcrypto" ? reference : edgeseal;
      const verdict = await judge(face, line, { ...mode, kept: mode.warm ? kept : undefined });
      verdicts.push(clock ? { ...verdict, ms: performance.now() - began } : verdict);
    }
    return verdicts;
  };
}

/**
 * The verdict of the package on one line.
 *
 * @param {typeof import("edgeseal")} edgeseal
 * @param {Uint8Array} bytes
 * @param {object} [how]
 * @param {string} [how.backend]
 * @param {boolean} [how.tables]
 * @param {Map<string, import("edgeseal").Verifier>} [how.kept] verifiers by their options, to be used again. Without it each line gets a
 * verifier of its own.
 * @returns {Promise<{id: string | null, v: "accept" | "reject" | "error", code: string | null}>}
 */
export async function judge(edgeseal, bytes, { backend, tables, kept } = {}) {
  let line;
  try {
    line = readLine(bytes);
  } catch (error) {
    if (error instanceof Unread) return { id: error.id, v: "reject", code: error.code };
    throw error;
  }
  const { id } = line;
  try {
    if (line.token === undefined) await edgeseal.verifySignature({ ...line.signature, backend: tables ? own(line.signature.algorithm) : backend });
    else {
      const verifier = verifierFor(edgeseal, { ...line.options, backend, tokenCache: tables ? 0 : undefined }, kept);
      const { header } = await verifier.verify(line.token, { nonce: line.nonce });
      if (tables && header.alg === "ES256") await heat(verifier, line);
    }
    return { id, v: "accept", code: null };
  } catch (error) {
    // Some hosts' WebCrypto takes no such key: then alone it can judge nothing, and the package's own choice is asked.
    if (backend === "webcrypto" && /WebCrypto says/.test(error?.message) && ODD_EXPONENT.test(line.options?.jwks ?? line.signature.jwk)) {
      return judge(edgeseal, bytes, { kept });
    }
    if (error instanceof edgeseal.VerifyError || error instanceof edgeseal.ConfigurationError) return { id, v: "reject", code: error.code };
    // A panic inside the WebAssembly, or a mistake of the package: never a verdict.
    return { id, v: "error", code: `${error?.name ?? "thrown"}: ${error?.message ?? error}` };
  }
}

/** The package's own arithmetic for an algorithm, where it has some beside the reference. */
function own(algorithm) {
  if (algorithm === "ES256") return "p256-tables";
  return /^[PR]S(?:256|384|512)$/.test(algorithm) ? "rsa-montgomery" : undefined;
}

function verifierFor(edgeseal, options, kept) {
  if (kept === undefined) return edgeseal.createVerifier(options);
  const key = JSON.stringify([options, options.clock()]);
  const verifier = kept.get(key) ?? edgeseal.createVerifier(options);
  kept.delete(key);
  kept.set(key, verifier);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  return verifier;
}

/** Valid signatures after which a key has its table: 32 until it is hot, 4 for the generator's table and 4 for its own, and some more. */
const HEAT = 44;

/** A good ES256 token as often as it takes for its key to get a table: the last verdict, and all later ones, come from the table. */
async function heat(verifier, { token, nonce }) {
  const byTable = () => verifier.stats().verifications["p256-tables"];
  for (let times = 0; times < HEAT; times += 1) {
    const before = byTable();
    await verifier.verify(token, { nonce });
    if (byTable() > before) return;
  }
  throw new Error(`no table after ${HEAT} valid signatures`);
}

/** Whether a line is blank and gets no verdict. */
export function isBlank(bytes) {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}

/** The lines of a chunk, without their newlines and without the blank ones. */
export function splitLines(bytes) {
  const lines = [];
  for (let start = 0; start < bytes.length; ) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline < 0 ? bytes.length : newline;
    const line = bytes.subarray(start, end);
    if (!isBlank(line)) lines.push(line);
    start = end + 1;
  }
  return lines;
}

/** What a line gives to the verifier. `jwks` and `jwk` stay the text that they are: parsed, duplicate members would be lost. */
export function readLine(bytes) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Unread(null);
  }
  const members = rawMembers(text);
  const value = (name) => (members.has(name) ? JSON.parse(members.get(name)) : undefined);
  const id = value("id");
  if (!isText(id)) throw new Unread(null);
  const need = (holds) => {
    if (!holds) throw new Unread(id);
  };
  if (members.has("token")) {
    const token = value("token");
    const now = value("now");
    need(isText(token) && members.has("jwks"));
    need(typeof now === "number" && now >= 0 && now <= LATEST);
    const { nonce, ...policy } = members.has("policy") ? policyOf(id, members.get("policy")) : {};
    if (nonce !== undefined && nonce !== null && !isText(nonce)) throw new Unread(id, "policy_invalid");
    return { id, token, nonce: nonce ?? undefined, options: { ...settings(value("alg_allow"), policy), jwks: members.get("jwks"), clock: () => now } };
  }
  const algorithm = value("alg");
  const message = octets(value("msg_hex"));
  const signature = octets(value("sig_hex"));
  need(isText(algorithm) && members.has("jwk") && message !== undefined && signature !== undefined);
  return { id, signature: { algorithm, jwk: members.get("jwk"), message, signature } };
}

/** A policy is read as strictly as a configuration file. */
function policyOf(id, text) {
  try {
    return strictly(text, KNOWN);
  } catch (error) {
    if (error instanceof Unread) throw new Unread(id, "policy_invalid");
    throw error;
  }
}

/** An object of settings: no member twice, none of another name, and a whole number written as one. */
function strictly(text, names) {
  // Not an ordinary object, so that `__proto__` is a name like any other.
  const settings = Object.create(null);
  for (const [name, raw] of rawMembers(text)) {
    // The package's own names are none here: passed on, they would be settings that no other host has.
    if (!Object.hasOwn(names, name)) {
      if (names === KNOWN && raw === "null") continue;
      throw new Unread(null);
    }
    // Parsed, 60.0 could not be told from 60, nor -0 from 0.
    if (/^[-0-9]/.test(raw) && !/^[0-9]+$/.test(raw)) throw new Unread(null);
    settings[name] = name === "sd_jwt" && raw.startsWith("{") ? strictly(raw, SD_JWT) : JSON.parse(raw);
  }
  return settings;
}

/** The policy as options of `createVerifier`. */
function settings(algorithms, policy) {
  const { iss = null, aud = null, require_exp = true, allow_rsa_exponent_3 = null, skip_nonce = null, ...others } = policy;
  const dangerous = {};
  const options = { algorithms, dangerous };
  if (iss === null) dangerous.skipIssuer = true;
  else options.issuer = iss;
  if (aud === null) dangerous.skipAudience = true;
  else options.audience = aud;
  if (require_exp !== null && require_exp !== true) dangerous.allowMissingExp = require_exp === false ? true : require_exp;
  if (allow_rsa_exponent_3 !== null) dangerous.allowRsaExponent3 = allow_rsa_exponent_3;
  if (skip_nonce !== null) dangerous.skipNonce = skip_nonce;
  for (const [name, value] of Object.entries(others)) {
    const isSdJwt = name === "sd_jwt" && typeof value === "object" && value !== null && !Array.isArray(value);
    if (value !== null) options[POLICY[name]] = isSdJwt ? renamed(value) : value;
  }
  return options;
}

/** `sd_jwt` under the package's names. */
function renamed(members) {
  return Object.fromEntries(Object.entries(members).map(([name, value]) => [SD_JWT[name], value]));
}

/** The members of an object, each as the text that stands there; throws for what is no object, or has a member twice. */
function rawMembers(text) {
  let parsed;
  try {
    // V8 does not recurse here, so that no depth of nesting overflows a stack.
    parsed = JSON.parse(text);
  } catch {
    throw new Unread(null);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) throw new Unread(null);
  const members = new Map();
  let twice = false;
  // The text is JSON, so it is enough to know where strings and brackets end.
  let at = text.indexOf("{") + 1;
  for (;;) {
    at = skipSpace(text, at);
    if (text[at] === "}") break;
    const nameEnd = skipString(text, at);
    const name = JSON.parse(text.slice(at, nameEnd));
    at = skipSpace(text, skipSpace(text, nameEnd) + 1);
    const end = skipValue(text, at);
    twice ||= members.has(name) || !name.isWellFormed();
    members.set(name, text.slice(at, end));
    at = skipSpace(text, end);
    if (text[at] === ",") at += 1;
  }
  if (twice) throw new Unread(null);
  return members;
}

function skipSpace(text, at) {
  while (text[at] === " " || text[at] === "\t" || text[at] === "\n" || text[at] === "\r") at += 1;
  return at;
}

function skipString(text, at) {
  for (at += 1; text[at] !== '"'; at += 1) if (text[at] === "\\") at += 1;
  return at + 1;
}

function skipValue(text, at) {
  let depth = 0;
  for (;;) {
    const character = text[at];
    if (character === '"') {
      at = skipString(text, at);
    } else {
      if (character === "{" || character === "[") depth += 1;
      else if (character === "}" || character === "]") depth -= 1;
      at += 1;
    }
    if (depth > 0) continue;
    // A number or a word goes on until something that can follow it.
    if (character === '"' || character === "}" || character === "]") return at;
    while (at < text.length && !",}] \t\r\n".includes(text[at])) at += 1;
    return at;
  }
}

function isText(value) {
  return typeof value === "string" && value.isWellFormed();
}

function octets(text) {
  if (typeof text !== "string" || !/^(?:[0-9a-fA-F]{2})*$/.test(text)) return undefined;
  const bytes = new Uint8Array(text.length / 2);
  for (let index = 0; index < bytes.length; index += 1) bytes[index] = Number.parseInt(text.slice(2 * index, 2 * index + 2), 16);
  return bytes;
}
