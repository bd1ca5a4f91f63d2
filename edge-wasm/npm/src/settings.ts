import { ConfigurationError } from "./errors.js";
import { ALGORITHMS } from "./names.js";
import { demandSchema } from "./schema.js";
import type { CacheOptions, DangerousOptions, HostOptions, IssuerOptions, SdJwtOptions, VerifierOptions, VerifyOptions } from "./types.js";

// The options: their names inside the WebAssembly, and what they take. A name that is not here is a mistake: silently ignored,
// it would leave a check undone.
type Option = readonly [name: string, takes: keyof typeof TAKES];

const TAKES = {
  "a string": (value: unknown) => typeof value === "string",
  "a string or an array of strings": (value: unknown) => typeof value === "string" || isStrings(value),
  "an array of strings": isStrings,
  "a whole number of seconds": (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0,
  "true or false": (value: unknown) => typeof value === "boolean",
  "an object or its JSON text": (value: unknown) => typeof value === "string" || isObject(value),
  "an object": isObject,
  '"required" or "where_bound"': (value: unknown) => value === "required" || value === "where_bound",
};

const ISSUER: Record<keyof IssuerOptions, Option> = {
  issuer: ["issuer", "a string"],
  audience: ["audience", "a string or an array of strings"],
  algorithms: ["algorithms", "an array of strings"],
  jwksUri: ["jwks_uri", "a string"],
  jwks: ["jwks", "an object or its JSON text"],
  typ: ["typ", "a string"],
  leeway: ["leeway", "a whole number of seconds"],
  maxLifetime: ["max_lifetime", "a whole number of seconds"],
  maxAge: ["max_age", "a whole number of seconds"],
  audienceClaim: ["audience_claim", "a string"],
  requiredClaims: ["required_claims", "an array of strings"],
  requireKeyExp: ["require_key_exp", "true or false"],
  sdJwt: ["sd_jwt", "an object"],
  dangerous: ["dangerous", "an object"],
};
const SD_JWT: Record<keyof SdJwtOptions, Option> = {
  keyBinding: ["key_binding", '"required" or "where_bound"'],
  algorithms: ["algorithms", "an array of strings"],
  maxAge: ["max_age", "a whole number of seconds"],
  allowPlain: ["allow_plain", "true or false"],
};
const DANGEROUS: Record<keyof DangerousOptions, Option> = {
  skipIssuer: ["skip_issuer", "true or false"],
  skipAudience: ["skip_audience", "true or false"],
  allowMissingExp: ["allow_missing_exp", "true or false"],
  allowRsaExponent3: ["allow_rsa_exponent_3", "true or false"],
  skipNonce: ["skip_nonce", "true or false"],
};
const CACHE: Record<keyof CacheOptions, Option> = {
  freshDefault: ["fresh_default", "a whole number of seconds"],
  freshMin: ["fresh_min", "a whole number of seconds"],
  freshMax: ["fresh_max", "a whole number of seconds"],
  staleIfError: ["stale_if_error", "a whole number of seconds"],
  unknownKidCooldown: ["unknown_kid_cooldown", "a whole number of seconds"],
  backoffMin: ["backoff_min", "a whole number of seconds"],
  backoffMax: ["backoff_max", "a whole number of seconds"],
};
const HOST: Record<keyof HostOptions, true> = { fetch: true, clock: true, cache: true, schema: true, backend: true, tokenCache: true, state: true };
const CALL: Record<keyof VerifyOptions, true> = { schema: true, nonce: true };
const BACKENDS: readonly unknown[] = ["auto", "webcrypto", "rustcrypto"];

const TO_OPTION = new Map([ISSUER, SD_JWT, DANGEROUS, CACHE].flatMap((names) => Object.entries(names)).map(([option, [name]]) => [name, option]));

/** 1 GiB: WebAssembly has 4 in all. */
const MAX_TOKEN_CACHE = 2 ** 30;

/** The settings for the WebAssembly, as JSON text. */
export function settingsText<C extends object>(options: VerifierOptions<C>): string {
  demandObject(options, "options");
  const { fetch, clock, cache, backend, tokenCache, schema, state, ...rest } = options;
  if (fetch !== undefined && typeof fetch !== "function") throw new ConfigurationError("fetch", "fetch: must be a function");
  if (clock !== undefined && typeof clock !== "function") throw new ConfigurationError("clock", "clock: must be a function");
  if (schema !== undefined) demandSchema(schema);
  const settings: Record<string, unknown> = { issuers: issuers(rest as VerifierOptions) };
  if (cache !== undefined) settings["cache"] = rename(cache, CACHE, "cache");
  if (backend !== undefined) {
    if (!BACKENDS.includes(backend)) throw new ConfigurationError("backend", `backend: must be one of ${BACKENDS.join(", ")}`);
    settings["backend"] = backend;
  }
  if (tokenCache !== undefined) {
    const fits = Number.isInteger(tokenCache) && tokenCache >= 0 && tokenCache <= MAX_TOKEN_CACHE;
    if (!fits) throw new ConfigurationError("tokenCache", `tokenCache: must be a number of octets, 0 to ${MAX_TOKEN_CACHE}`);
    settings["token_cache"] = tokenCache;
  }
  snapshots(state);
  return JSON.stringify(settings);
}

/** Refuses what is no option of one call: ignored, a misspelt schema would check nothing. */
export function demandVerifyOptions(options: VerifyOptions<object>): void {
  demandObject(options, "options");
  for (const option of Object.keys(options)) {
    if (Object.hasOwn(CALL, option)) continue;
    throw new ConfigurationError(option, `${option}: is not an option of verify; there is ${Object.keys(CALL).join(", ")}`);
  }
  if (options.schema !== undefined) demandSchema(options.schema);
  if (options.nonce !== undefined && typeof options.nonce !== "string") throw new ConfigurationError("nonce", "nonce: must be a string");
}

/** The documents of the option `state`. */
export function snapshots(state: string | null | undefined): string[] {
  if (state === undefined || state === null) return [];
  try {
    const documents: unknown = JSON.parse(state);
    if (isStrings(documents)) return documents as string[];
  } catch {
    // Told below.
  }
  throw new ConfigurationError("state", "state: must be what exportState() returned");
}

/** A message of the WebAssembly about `setting`, with the options' own names. */
export function configurationError(setting: string, message: string): ConfigurationError {
  const camel = (text: string) => text.replace(/[a-z]+(?:_[a-z0-9]+)+/g, (name) => TO_OPTION.get(name) ?? name);
  return new ConfigurationError(camel(setting), camel(message));
}

function issuers(options: VerifierOptions): unknown[] {
  if (!("issuers" in options)) return [issuer(options, "")];
  const { issuers: list, ...rest } = options;
  const [surplus] = Object.keys(rest);
  if (surplus !== undefined) {
    throw new ConfigurationError(surplus, `${surplus}: belongs inside issuers[…] when issuers is given`);
  }
  if (!Array.isArray(list)) throw new ConfigurationError("issuers", "issuers: must be an array");
  return list.map((one: IssuerOptions, index) => issuer(one, `issuers[${index}].`));
}

function issuer(options: IssuerOptions, prefix: string): unknown {
  const settings = rename(options, ISSUER, prefix === "" ? "options" : prefix.slice(0, -1), prefix);
  const unknown = options.algorithms?.find((name) => !ALGORITHMS.includes(name));
  if (unknown !== undefined || !options.algorithms) {
    const problem = unknown === undefined ? "is missing" : `${JSON.stringify(unknown)} is not supported`;
    throw new ConfigurationError(`${prefix}algorithms`, `${prefix}algorithms: ${problem}; name some of ${ALGORITHMS.join(", ")}`);
  }
  if (options.sdJwt !== undefined && options.sdJwt !== null) {
    const sdJwt = rename(options.sdJwt, SD_JWT, `${prefix}sdJwt`);
    if (sdJwt["key_binding"] === undefined) {
      throw new ConfigurationError(`${prefix}sdJwt.keyBinding`, `${prefix}sdJwt.keyBinding: is missing; "required" or "where_bound"`);
    }
    settings["sd_jwt"] = sdJwt;
  }
  if (options.dangerous !== undefined && options.dangerous !== null) {
    settings["dangerous"] = rename(options.dangerous, DANGEROUS, `${prefix}dangerous`);
  }
  return settings;
}

function rename<T extends object>(
  options: T,
  names: Record<keyof T & string, Option>,
  what: string,
  prefix = `${what}.`,
): Record<string, unknown> {
  demandObject(options, what);
  const settings: Record<string, unknown> = {};
  for (const [option, value] of Object.entries(options)) {
    if (!Object.hasOwn(names, option)) {
      const known = [...Object.keys(names), ...(what === "options" ? Object.keys(HOST) : [])].join(", ");
      throw new ConfigurationError(`${prefix}${option}`, `${prefix}${option}: is not an option; there are ${known}`);
    }
    if (value === undefined || value === null) continue;
    const [name, takes] = names[option as keyof T & string];
    if (!TAKES[takes](value)) throw new ConfigurationError(`${prefix}${option}`, `${prefix}${option}: must be ${takes}`);
    settings[name] = value;
  }
  return settings;
}

function demandObject(value: unknown, what: string): void {
  if (!isObject(value)) throw new ConfigurationError(what, `${what}: must be an object`);
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isStrings(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}
