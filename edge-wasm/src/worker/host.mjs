// What the Worker's WebAssembly asks of the runtime in one crossing each. Nothing is decided here.

// Made once: the runtime copies them faster than it reads an object anew.
const ofKind = (type) => new Headers({ "content-type": type, "cache-control": "no-store" });
const OK = { status: 200, headers: ofKind("application/json") };

/** An answer with JSON text, as nearly all of the Worker's own are. */
export const json = (body) => new Response(body, OK);

/** Any other; `more` are names and values of further headers in turn, of which a name may come twice: challenges do. */
export function answer(status, type, body, more) {
  try {
    const headers = ofKind(type);
    for (let at = 0; at < more.length; at += 2) headers.append(more[at], more[at + 1]);
    return new Response(body, { status, headers });
  } catch {
    // When a header cannot be set: a status and nothing else.
    return new Response(null, { status });
  }
}

/** The names of a request's headers, a line each. */
export const names = (request) => [...request.headers.keys()].join("\n");

/**
 * Sends a request on to a URL, with other headers: `changes` are lines, `-name` to take one out, `+name` and a line with its value to set it.
 * As a `RequestInit`, a request brings its method, headers, body stream and redirect mode (manual) along. The response is the runtime's,
 * untouched: what the origin sent compressed, or as a WebSocket, stays so. An answer to somebody in particular is for no cache that others share:
 * without the Authorization field that was removed, the platform's own would keep it (RFC 9111 section 3.5).
 */
export function forward(request, url, changes, service, isPersonal) {
  const outbound = new Request(url, request);
  const lines = changes.split("\n");
  for (let at = 0; at < lines.length; at += 1) {
    const name = lines[at].slice(1);
    if (lines[at].startsWith("-")) outbound.headers.delete(name);
    else if (name !== "") outbound.headers.set(name, lines[(at += 1)]);
  }
  if (!SAFE.includes(request.method)) forwarded.add(request);
  if (service) return service.fetch(outbound);
  return isPersonal ? fetch(outbound, NO_STORE) : fetch(outbound);
}

const NO_STORE = { cache: "no-store" };

/** Methods that may be repeated (RFC 9110 section 9.2.1). */
const SAFE = ["GET", "HEAD", "OPTIONS"];
const forwarded = new WeakSet();

/** Whether the origin may have acted on the request. */
export const wasForwarded = (request) => forwarded.has(request);

let waiting;

/** What a request that cannot be answered at once waits for, and what goes on with it then (`Later`, drive.rs). */
export const wait = (promise, later) => {
  waiting = { promise, later };
};

/** Says it, to the shim. */
export function taken() {
  const taken = waiting;
  waiting = undefined;
  return taken;
}
