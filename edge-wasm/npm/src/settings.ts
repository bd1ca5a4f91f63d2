import { ConfigurationError } from "./errors.js";
import type { CacheOptions, DangerousOptions, HostOptions, IssuerOptions, VerifierOptions } from "./types.js";

// The options' names on this side and inside the WebAssembly. A name that is not here is a mistake: silently ignored, it would
// leave a check undone.
const ISSUER: Record<keyof IssuerOptions, string> = {
  issuer: "issuer",
  audience: "audience",
  algorithms: "algorithms",
  jwksUri: "jwks_uri",
  jwks: "jwks",
  typ: "typ",
  leeway: "leeway",
  maxLifetime: "max_lifetime",
  maxAge: "max_age",
  audienceClaim: "audience_claim",
  requiredClaims: "required_claims",
  dangerous: "dangerous",
};
const DANGEROUS: Record<keyof DangerousOptions, string> = {
  skipIssuer: "skip_issuer",
  skipAudience: "skip_audience",
  allowMissingExp: "allow_missing_exp",
  allowRsaExponent3: "allow_rsa_exponent_3",
};
const CACHE: Record<keyof CacheOptions, string> = {
  freshDefault: "fresh_default",
  freshMin: "fresh_min",
  freshMax: "fresh_max",
  staleIfError: "stale_if_error",
  unknownKidCooldown: "unknown_kid_cooldown",
  backoffMin: "backoff_min",
  backoffMax: "backoff_max",
};
const HOST: Record<keyof HostOptions, true> = { fetch: true, clock: true, cache: true };

const TO_OPTION = new Map([ISSUER, DANGEROUS, CACHE].flatMap((names) => Object.entries(names)).map(([a, b]) => [b, a]));

/** The settings for the WebAssembly, as JSON text. */
export function settingsText(options: VerifierOptions): string {
  object(options, "options");
  const { fetch, clock, cache, ...rest } = options;
  if (fetch !== undefined && typeof fetch !== "function") throw new ConfigurationError("fetch", "fetch: must be a function");
  if (clock !== undefined && typeof clock !== "function") throw new ConfigurationError("clock", "clock: must be a function");
  const settings: Record<string, unknown> = { issuers: issuers(rest as VerifierOptions) };
  if (cache !== undefined) settings["cache"] = rename(cache, CACHE, "cache");
  return JSON.stringify(settings);
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
  if (options.dangerous !== undefined && options.dangerous !== null) {
    settings["dangerous"] = rename(options.dangerous, DANGEROUS, `${prefix}dangerous`);
  }
  return settings;
}

function rename<T extends object>(
  options: T,
  names: Record<keyof T & string, string>,
  what: string,
  prefix = `${what}.`,
): Record<string, unknown> {
  object(options, what);
  const settings: Record<string, unknown> = {};
  for (const [option, value] of Object.entries(options)) {
    if (!Object.hasOwn(names, option)) {
      const known = [...Object.keys(names), ...(what === "options" ? Object.keys(HOST) : [])].join(", ");
      throw new ConfigurationError(`${prefix}${option}`, `${prefix}${option}: is not an option; there are ${known}`);
    }
    if (typeof value === "number" && !Number.isSafeInteger(value)) {
      throw new ConfigurationError(`${prefix}${option}`, `${prefix}${option}: must be a whole number of seconds, is ${value}`);
    }
    if (value !== undefined && value !== null) settings[names[option as keyof T & string]] = value;
  }
  return settings;
}

function object(value: unknown, what: string): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ConfigurationError(what, `${what}: must be an object`);
  }
}
