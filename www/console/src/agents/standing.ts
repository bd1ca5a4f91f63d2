// PURE. How an agent stands with the signer.
import type { Agent } from "../api/types";

export type Standing = "revoked" | "may_ask" | "invited" | "must_enrol" | "expired" | "waits";

export function standingOf({ revoked_at, certificates, invited_until, origin, must_enrol }: Agent, now: number): Standing {
  if (revoked_at) return "revoked";
  const good = certificates.filter((certificate) => !certificate.revoked_at);
  if (good.some(({ not_after }) => Date.parse(not_after) > now)) return "may_ask";
  // One that was revoked is refused until it enrols, whatever certificate its own authority gives it.
  if (origin === "configuration" && !must_enrol) return "may_ask";
  if (invited_until && Date.parse(invited_until) > now) return "invited";
  if (must_enrol) return "must_enrol";
  return good.length > 0 ? "expired" : "waits";
}
