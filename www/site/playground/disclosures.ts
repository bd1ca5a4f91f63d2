// What core reads of a presentation (core/src/sd.rs).
const LARGEST = 64 * 1024;
const MOST = 256;

/** What stands in a disclosure (RFC 9901 section 4.2), read without any judgement. */
export type Disclosure = { name?: string; value: unknown } | { problem: string };

/** The issuer's part of a presentation; a token that is none stays as it is. */
export function presentedToken(compact: string): string {
  return compact.split("~", 1)[0] ?? compact;
}

/** The disclosures of a presentation, without the key-binding JWT behind them; none of more than the core would read. */
export function disclosuresOf(compact: string): Disclosure[] {
  if (!compact.includes("~")) return [];
  if (compact.length > LARGEST) return [{ problem: `none is shown: the presentation is larger than ${LARGEST} octets` }];
  const parts = compact.split("~").slice(1, -1);
  if (parts.length > MOST) return [{ problem: `none is shown: there are more than ${MOST}` }];
  return parts.map((part) => {
    try {
      const text = atob(part.replace(/-/g, "+").replace(/_/g, "/"));
      const found: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
      if (!Array.isArray(found) || found.length < 2 || found.length > 3) throw new Error("no array of two or three");
      return found.length === 3 ? { name: String(found[1]), value: found[2] as unknown } : { value: found[1] as unknown };
    } catch {
      return { problem: `cannot be read: ${part.slice(0, 40)}` };
    }
  });
}
