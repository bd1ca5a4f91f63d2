// The fetch rules for discovery documents and JWK Sets: no redirect, no credentials, a limit in time and in size, and nothing
// but 200 and 304 counts (the WebAssembly judges status and body). The URL was checked before it came here.

/** Octets of a document at most, counted while it streams in, after decompression. */
const MAX_LENGTH = 64 * 1024;

/** A document that came, or the status 0 and the reason, for a log, as its body. */
export interface Document {
  status: number;
  body: Uint8Array;
  cacheControl: string;
  /** Seconds that it stood in caches on its way. */
  age: number;
  etag: string | undefined;
}

/** Fetches a document within so many milliseconds. */
export async function fetchDocument(
  fetch: (url: string, init: RequestInit) => Promise<Response>,
  url: string,
  etag: string | null,
  init: RequestInit,
  milliseconds: number,
): Promise<Document> {
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  // An injected fetch may not listen to the signal: the race ends the wait in any case.
  const tooSlow = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = new Error(`no answer within ${milliseconds} ms`);
      reject(error);
      controller.abort(error);
    }, milliseconds);
  });
  try {
    return await Promise.race([get(fetch, url, etag, { ...init, signal: controller.signal }), tooSlow]);
  } catch (error) {
    return { status: 0, body: new TextEncoder().encode(reason(error)), cacheControl: "", age: 0, etag: undefined };
  } finally {
    clearTimeout(timer);
  }
}

/** Why a fetch failed: `fetch failed` alone helps nobody. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}

async function get(
  fetch: (url: string, init: RequestInit) => Promise<Response>,
  url: string,
  etag: string | null,
  init: RequestInit,
): Promise<Document> {
  const headers: Record<string, string> = { accept: "application/jwk-set+json, application/json" };
  if (etag !== null) headers["if-none-match"] = etag;
  const response = await fetch(url, { ...init, method: "GET", redirect: "manual", headers });
  // An injected fetch may give anything.
  if (typeof (response as Partial<Response> | null | undefined)?.headers?.get !== "function") throw new Error("fetch gave no Response");
  if (response.type === "opaqueredirect" || response.redirected) throw new Error("redirected");
  const { status } = response;
  const field = (name: string) => response.headers.get(name) ?? undefined;
  const cacheControl = field("cache-control") ?? "";
  const age = Number(field("age")?.match(/^\d+$/));
  if (status === 200) return { status, body: await read(response), cacheControl, age, etag: field("etag") };
  await response.body?.cancel();
  return { status, body: new Uint8Array(), cacheControl, age, etag: undefined };
}

async function read(response: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  for (;;) {
    const chunk = await reader?.read();
    if (chunk === undefined || chunk.done) break;
    length += chunk.value.length;
    if (length > MAX_LENGTH) {
      await reader?.cancel();
      throw new Error(`more than ${MAX_LENGTH} bytes`);
    }
    chunks.push(chunk.value);
  }
  const body = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    body.set(chunk, offset);
    offset += chunk.length;
  }
  return body;
}
