import type { Check, VerifyErrorCode } from "./names.js";

/** What the WebAssembly says of a refusal. */
export interface Refusal {
  code: VerifyErrorCode;
  check: Check | null;
  detail: string;
  status: number;
  challenge: string | null;
  problem: string;
  retryAfter: number | null;
}

/**
 * A token or a request was refused, or the issuer's keys cannot be had. The message is for the caller's log. Where V8 runs,
 * that of a wrong signature has no stack trace: anybody can send one, and refusing it would be dearer than accepting a right one.
 */
export class VerifyError extends Error {
  override readonly name = "VerifyError";
  /** The stable code. */
  readonly code: VerifyErrorCode;
  /** The check that refused; `null` where there was no token to check. */
  readonly check: Check | null;
  /** Seconds after which a retry can succeed; `null` unless keys could not be had. */
  readonly retryAfter: number | null;
  readonly #refusal: Refusal;

  /** @internal */
  constructor(refusal: Refusal) {
    super(`${refusal.code}: ${refusal.detail}`);
    this.code = refusal.code;
    this.check = refusal.check;
    this.retryAfter = refusal.retryAfter;
    this.#refusal = refusal;
  }

  /**
   * The answer for the sender: status and `WWW-Authenticate` of RFC 6750 section 3, a problem document (RFC 9457) that holds
   * no more than the code; 503 with `Retry-After` when the keys cannot be had.
   */
  toResponse(): Response {
    const { status, challenge, problem, retryAfter } = this.#refusal;
    const headers = new Headers({ "content-type": "application/problem+json", "cache-control": "no-store" });
    if (challenge !== null) headers.set("www-authenticate", challenge);
    if (retryAfter !== null) headers.set("retry-after", String(retryAfter));
    return new Response(problem, { status, headers });
  }
}

/**
 * Edgeseal's own fault: the WebAssembly trapped, which nothing that a sender writes should make it do. Nothing was decided about the
 * token. The next call is one of a new instance, with the keys that were there. `cause` is what the host said.
 */
export class InternalError extends Error {
  override readonly name = "InternalError";
  readonly code = "internal_error";

  /** @internal */
  constructor(cause: unknown) {
    super("internal_error: the WebAssembly trapped; it was made anew, and nothing was decided", { cause });
  }
}

/** The error of a wrong signature. */
export function signatureInvalid(refusal: Refusal): VerifyError {
  const limit = Error.stackTraceLimit;
  // Not there outside of V8; not to be written where a program has frozen it.
  if (limit === undefined || !Reflect.set(Error, "stackTraceLimit", 0)) return new VerifyError(refusal);
  const error = new VerifyError(refusal);
  Error.stackTraceLimit = limit;
  return error;
}

/** The options cannot be meant: a mistake of the caller, never of a token. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
  readonly code = "policy_invalid";
  /** The option, such as `algorithms` or `issuers[1].leeway`. */
  readonly option: string;

  /** @internal */
  constructor(option: string, message: string) {
    super(message);
    this.option = option;
  }
}
