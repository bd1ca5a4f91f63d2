const TIMEOUT_MS = 5000;
const LARGEST = 64 * 1024;

/** The JWK Set of an issuer by its discovery document (OpenID Connect Discovery 1.0 section 4), as text. */
export async function issuersKeys(issuer: string): Promise<string> {
  if (issuer === "") throw new Error("Name the issuer in the policy first.");
  const base = address(issuer, "The issuer");
  const discovery = JSON.parse(await text(`${base.href.replace(/\/$/, "")}/.well-known/openid-configuration`)) as { issuer?: unknown; jwks_uri?: unknown };
  if (discovery.issuer !== issuer) throw new Error(`The discovery document is of another issuer: ${JSON.stringify(discovery.issuer)}.`);
  if (typeof discovery.jwks_uri !== "string") throw new Error("The discovery document names no jwks_uri.");
  return text(address(discovery.jwks_uri, "jwks_uri").href);
}

function address(url: string, what: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const loopback = parsed?.protocol === "http:" && ["localhost", "127.0.0.1"].includes(parsed.hostname);
  if (parsed === undefined || (parsed.protocol !== "https:" && !loopback)) throw new Error(`${what} is no https URL.`);
  return parsed;
}

async function text(url: string): Promise<string> {
  const response = await fetch(url, { redirect: "error", credentials: "omit", referrerPolicy: "no-referrer", signal: AbortSignal.timeout(TIMEOUT_MS) }).catch(() => {
    throw new Error(`${url} cannot be read from this page: it is not there, or does not allow other pages (CORS).`);
  });
  if (response.status !== 200) throw new Error(`${url} answers ${response.status}.`);
  const body = await response.text();
  if (body.length > LARGEST) throw new Error(`${url} is larger than ${LARGEST} characters.`);
  return body;
}
