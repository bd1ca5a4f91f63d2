// Who is here, and the one way in which requests leave: with the session's CSRF value, repeated once after a stale one, and
// repeated after the passkey where the signer asks for it again.
import { ApiProblem, problemOf, received } from "./problem.ts"; // with its ending: a test reads this file without a bundler

export interface Session {
  authenticated: boolean;
  setup_required: boolean;
  csrf?: string;
  rp_id: string;
  origin: string;
  version: string;
  user?: { name: string; display_name?: string | null; role: Role };
  via?: "passkey" | "certificate" | "recovery";
  session?: string;
  created_at?: string;
  idle_expires_at?: string;
  expires_at?: string;
  reauthenticated_until?: string | null;
  passkey_required?: boolean;
  recovery_codes_left?: number;
  allowed?: string[];
  dangerous?: string[];
}

export type Role = "administrator" | "operator" | "auditor";
export const ROLES: readonly Role[] = ["administrator", "operator", "auditor"];

let current: Session | undefined;
/** How often somebody came or went: what was asked before that is answered too late. */
let changes = 0;
let passkeyAwaited = false;
const listeners = new Set<() => void>();
const reader = new BroadcastChannel("edgeseal-session");

/** The session as last heard of. */
export const session = {
  get: () => current,
  passkeyAwaited: () => passkeyAwaited,
  subscribe(listener: () => void) {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  },
  set(next: Session) {
    const other = current?.session !== next.session || current?.authenticated !== next.authenticated || current?.csrf !== next.csrf;
    current = next;
    changes += 1;
    announce();
    if (other) reader.postMessage("changed");
  },
  async refresh(): Promise<Session> {
    // Recovery codes are on the page, once and never again.
    if (held && current) return current;
    const before = changes;
    const response = await received(fetch("/console/v1/session", { headers: { accept: "application/json" }, signal: AbortSignal.timeout(READ_LIMIT) }));
    if (!response.ok) throw await problemOf(response);
    const next = (await received(response.json())) as Session;
    // What came about meanwhile is newer than this answer.
    if ((held || changes !== before) && current) return current;
    current = next;
    announce();
    return next;
  },
};

// Another tab logged in or out: this one must not go on with what it believed.
reader.onmessage = () => void session.refresh().catch(() => undefined);

function announce() {
  for (const listener of listeners) listener();
}

/** Milliseconds since somebody touched the page, up to which a request counts as theirs. */
const TOUCHED = 5_000;
let touchedAt = 0;
for (const event of ["pointerdown", "keydown"]) addEventListener(event, () => (touchedAt = Date.now()), { capture: true, passive: true });

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** Milliseconds for which a read is waited for: a signer that hangs is one that cannot be reached. */
const READ_LIMIT = 15_000;

/** Sends a request and gives the answer's JSON (`undefined` for 204). Refusals are thrown as `ApiProblem`. A `patient` one has no limit. */
export async function send<Answer = unknown>(method: Method, path: string, body?: unknown, patient = method !== "GET"): Promise<Answer> {
  const response = await deliver(method, path, body, patient);
  if (response.status === 204) return undefined as Answer;
  const type = response.headers.get("content-type") ?? "";
  return (await received(type.includes("json") && !type.includes("x-ndjson") ? response.json() : response.text())) as Answer;
}

/** The same, but the answer as it came: for downloads. */
export async function deliver(method: Method, path: string, body?: unknown, patient = true): Promise<Response> {
  const who = current?.user?.name;
  const once = () => {
    const headers = new Headers({ accept: "application/json, application/problem+json" });
    if (method !== "GET") headers.set("x-edgeseal-csrf", current?.csrf ?? "none");
    if (body !== undefined) headers.set("content-type", "application/json");
    // A window that was left open asks by itself: that must not keep its session alive.
    if (method === "GET" && Date.now() - touchedAt > TOUCHED) headers.set("x-edgeseal-background", "true");
    return received(fetch(path, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }), ...(!patient && { signal: AbortSignal.timeout(READ_LIMIT) }) }));
  };
  // Each is mended once: in another tab's new session both can be so, one after the other.
  let refreshed = false;
  let reauthenticated = false;
  for (;;) {
    const response = await once();
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (!refreshed && problem.code === "cross_site_refused") {
      refreshed = true;
      const { user } = await session.refresh();
      // What one person asked for is not done in another one's name.
      if (user?.name !== who) throw problem;
    } else if (!reauthenticated && problem.code === "reauthentication_required") {
      reauthenticated = true;
      await reauthenticate();
    } else {
      if (problem.code === "session_required" && current?.authenticated) await session.refresh();
      throw problem;
    }
  }
}

interface Ceremony<Options> {
  ceremony: string;
  publicKey: Options;
}

/** Logs in with a passkey that the browser finds itself. */
export async function login(): Promise<void> {
  await assertion("/console/v1/login");
}

async function reauthenticate(): Promise<void> {
  await assertion("/console/v1/reauth");
}

/** Said before a ceremony begins, which would end with a function that is not there. */
function needPasskeys() {
  const known = typeof PublicKeyCredential === "function" && "parseRequestOptionsFromJSON" in PublicKeyCredential && "parseCreationOptionsFromJSON" in PublicKeyCredential && "toJSON" in PublicKeyCredential.prototype;
  if (!known) throw new ApiProblem({ title: "", status: 0, code: "browser_too_old" });
}

async function assertion(path: string): Promise<void> {
  needPasskeys();
  const { ceremony, publicKey } = await send<Ceremony<PublicKeyCredentialRequestOptionsJSON>>("POST", `${path}/start`, {});
  const credential = await awaited(() =>
    navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(publicKey) }),
  );
  session.set(await send<Session>("POST", `${path}/finish`, { ceremony, credential: credential.toJSON() }));
}

export interface Registration {
  code?: string;
  name?: string;
  display_name?: string;
}

/** Makes a passkey: the first one of whoever has a code, or one more of whoever is logged in. */
export async function register({ label, ...who }: Registration & { label?: string }): Promise<string[] | undefined> {
  needPasskeys();
  const { ceremony, publicKey } = await send<Ceremony<PublicKeyCredentialCreationOptionsJSON>>("POST", "/console/v1/register/start", who);
  const credential = await awaited(() =>
    navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(publicKey) }),
  );
  const finish = { ceremony, ...(label && { label }), credential: credential.toJSON() };
  const { recovery_codes, ...next } = await send<Session & { recovery_codes?: string[] }>("POST", "/console/v1/register/finish", finish);
  // Whoever has codes to write down sees them first: `session.set` would take the page away.
  if (recovery_codes) held = next;
  else session.set(next);
  return recovery_codes;
}

let held: Session | undefined;

/** After the recovery codes were shown. */
export function enter(): void {
  if (held) session.set(held);
  held = undefined;
}

async function awaited(ask: () => Promise<Credential | null>): Promise<PublicKeyCredential> {
  passkeyAwaited = true;
  announce();
  try {
    const credential = await ask();
    if (!(credential instanceof PublicKeyCredential)) throw new ApiProblem({ title: "", status: 0, code: "passkey_not_given" });
    return credential;
  } finally {
    passkeyAwaited = false;
    announce();
  }
}

export async function recover(name: string, code: string): Promise<void> {
  session.set(await send<Session>("POST", "/console/v1/recovery", { name, code }));
}

export async function logout(): Promise<void> {
  await send("POST", "/console/v1/logout").finally(() => {
    changes += 1;
    return session.refresh();
  });
  reader.postMessage("changed");
}
