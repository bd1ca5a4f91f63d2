import { guard, type MiddlewareOptions } from "./middleware.js";
import type { Claims, Verified, Verifier } from "./types.js";

declare global {
  // Where Express's own types look for what middleware adds.
  namespace Express {
    interface Request {
      /** The verified token, behind the middleware of `edgeseal/express`. */
      auth?: Verified;
    }
  }
}

/** What is needed of a request: Express 4 and 5, and any other framework on `node:http`. */
export interface IncomingRequest {
  readonly headers: { readonly authorization?: string | undefined };
  readonly headersDistinct?: { readonly authorization?: string[] | undefined };
}

/** What is needed of a response. */
export interface OutgoingResponse {
  statusCode: number;
  readonly headersSent: boolean;
  setHeader(name: string, value: string): unknown;
  end(body: string): unknown;
}

/** See {@link edgeseal}. */
export type EdgesealOptions<C extends object = Claims> = MiddlewareOptions<IncomingRequest, C>;

/** A middleware, and who it let through. */
export interface EdgesealMiddleware<A> {
  (req: IncomingRequest, res: OutgoingResponse, next: (error?: unknown) => void): Promise<void>;
  /**
   * The verified token of a request, with the type of its claims.
   *
   * @throws {TypeError} where this middleware did not run, so that a route cannot forget it.
   */
  of(req: IncomingRequest): A;
}

/**
 * Middleware for Express: verifies `Authorization: Bearer`, sets `req.auth` to claims and header, and answers refusals
 * itself (RFC 6750 section 3 with a problem document, 503 when the keys cannot be had). It takes the options of
 * `createVerifier` or a verifier. What is no refusal goes to `next`.
 *
 * @throws {ConfigurationError} for options that cannot be meant.
 */
export function edgeseal<C extends object = Claims>(
  options: EdgesealOptions<C> & { required: false },
): EdgesealMiddleware<Verified<C> | undefined>;
export function edgeseal<C extends object = Claims>(
  options: (EdgesealOptions<C> & { required?: true }) | Verifier<C>,
): EdgesealMiddleware<Verified<C>>;
/** For options whose `required` is known only when it runs. */
export function edgeseal<C extends object = Claims>(
  options: EdgesealOptions<C> | Verifier<C>,
): EdgesealMiddleware<Verified<C> | undefined>;
export function edgeseal<C extends object = Claims>(
  options: EdgesealOptions<C> | Verifier<C>,
): EdgesealMiddleware<Verified<C> | undefined> {
  const judge = guard<C, IncomingRequest>(options);
  const passed = new WeakMap<IncomingRequest, Verified<C> | undefined>();

  async function middleware(req: IncomingRequest, res: OutgoingResponse, next: (error?: unknown) => void): Promise<void> {
    try {
      const outcome = await judge({ headers: { get: () => authorization(req) } }, req);
      if ("answer" in outcome) return await send(outcome.answer, res);
      passed.set(req, outcome.verified);
      if (outcome.verified !== undefined) Object.assign(req, { auth: outcome.verified });
    } catch (error) {
      return next(error);
    }
    next();
  }

  function of(req: IncomingRequest): Verified<C> | undefined {
    if (!passed.has(req)) throw new TypeError("this middleware has not let the request through: put it before the route");
    return passed.get(req);
  }

  return Object.assign(middleware, { of });
}

/** Every `Authorization` field there is: `headers` holds the first alone, and two must be refused. */
function authorization({ headers, headersDistinct }: IncomingRequest): string | null {
  return headersDistinct?.authorization?.join(", ") ?? headers.authorization ?? null;
}

async function send(answer: Response, res: OutgoingResponse): Promise<void> {
  const body = await answer.text();
  if (res.headersSent) return;
  res.statusCode = answer.status;
  answer.headers.forEach((value, name) => res.setHeader(name, value));
  res.end(body);
}
