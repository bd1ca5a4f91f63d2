import type { Context, MiddlewareHandler } from "hono";

import { guard, type MiddlewareOptions } from "./middleware.js";
import type { Claims, Verified, Verifier } from "./types.js";

/** What `c.get` knows behind the middleware: `new Hono<{ Variables: EdgesealVariables }>()`. */
export interface EdgesealVariables<C extends object = Claims> {
  /** The claims of the verified token. */
  claims: C;
  /** The same with the token's header. */
  verified: Verified<C>;
}

/** See {@link edgeseal}. */
export type EdgesealOptions<C extends object = Claims> = MiddlewareOptions<Context, C>;

/**
 * Middleware for Hono: verifies `Authorization: Bearer`, sets `claims` and `verified`, and answers refusals itself
 * (RFC 6750 section 3 with a problem document, 503 when the keys cannot be had). It takes the options of `createVerifier` or
 * a verifier, and needs `cors()` before it where browsers call from other origins.
 *
 * @throws {ConfigurationError} for options that cannot be meant.
 */
export function edgeseal<C extends object = Claims>(
  options: EdgesealOptions<C> & { required: false },
): MiddlewareHandler<{ Variables: Partial<EdgesealVariables<C>> }>;
export function edgeseal<C extends object = Claims>(
  options: (EdgesealOptions<C> & { required?: true }) | Verifier<C>,
): MiddlewareHandler<{ Variables: EdgesealVariables<C> }>;
/** For options whose `required` is known only when it runs. */
export function edgeseal<C extends object = Claims>(
  options: EdgesealOptions<C> | Verifier<C>,
): MiddlewareHandler<{ Variables: Partial<EdgesealVariables<C>> }>;
export function edgeseal<C extends object = Claims>(
  options: EdgesealOptions<C> | Verifier<C>,
): MiddlewareHandler {
  const judge = guard<C, Context>(options);
  return async (c, next) => {
    const outcome = await judge(c.req.raw, c);
    if ("answer" in outcome) return outcome.answer;
    const { verified } = outcome;
    if (verified !== undefined) {
      c.set("claims", verified.claims);
      c.set("verified", verified);
    }
    await next();
    return;
  };
}
