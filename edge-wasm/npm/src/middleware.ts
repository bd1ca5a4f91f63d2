import { createVerifier } from "edgeseal";

import { ConfigurationError, VerifyError } from "./errors.js";
import type { Claims, RequestLike, Verified, Verifier, VerifierOptions } from "./types.js";

/** What a middleware does beside verifying. `Sender` is the framework's view of the request. */
export interface MiddlewareBehaviour<Sender> {
  /** `false` lets requests without a bearer token through, without claims. A token that is there must be good in any case. */
  required?: boolean;
  /** Told of every refusal before it is answered: the error's message says what was expected and what came, for the log. */
  onRefusal?: (error: VerifyError, sender: Sender) => void | Promise<void>;
}

/** The options of a middleware: those of `createVerifier`, or a verifier that exists already. */
export type MiddlewareOptions<Sender, C extends object = Claims> = (VerifierOptions<C> | { verifier: Verifier<C> }) &
  MiddlewareBehaviour<Sender>;

/** One request's outcome: its verified token, nobody's, or the answer to send. */
export type Outcome<C extends object> = { verified: Verified<C> } | { verified: undefined } | { answer: Response };

/** The part that all frameworks share. Throws what is no refusal: a mistake in the options, or of a `fetch` or hook. */
export function guard<C extends object, Sender>(
  source: MiddlewareOptions<Sender, C> | Verifier<C>,
): (request: RequestLike, sender: Sender) => Promise<Outcome<C>> {
  const { verifier, required, onRefusal } = read(source);
  return async (request, sender) => {
    try {
      return { verified: await verifier.verify(request) };
    } catch (error) {
      if (!(error instanceof VerifyError)) throw error;
      if (!required && error.code === "token_missing") return { verified: undefined };
      await onRefusal?.(error, sender);
      return { answer: error.toResponse() };
    }
  };
}

function read<C extends object, Sender>(source: MiddlewareOptions<Sender, C> | Verifier<C>) {
  if (isVerifier<C>(source)) return { verifier: source, required: true, onRefusal: undefined };
  const { required = true, onRefusal, ...rest } = source ?? {};
  if (typeof required !== "boolean") throw new ConfigurationError("required", "required: must be true or false");
  if (onRefusal !== undefined && typeof onRefusal !== "function") {
    throw new ConfigurationError("onRefusal", "onRefusal: must be a function");
  }
  if (!("verifier" in rest)) return { verifier: createVerifier(rest), required, onRefusal };
  const { verifier, ...surplus } = rest;
  if (!isVerifier<C>(verifier)) throw new ConfigurationError("verifier", "verifier: must be what createVerifier returned");
  const [name] = Object.keys(surplus);
  if (name !== undefined) throw new ConfigurationError(name, `${name}: belongs into createVerifier when verifier is given`);
  return { verifier, required, onRefusal };
}

function isVerifier<C extends object>(value: unknown): value is Verifier<C> {
  return typeof value === "object" && value !== null && "verify" in value && typeof value.verify === "function";
}
