import type { Agent } from "../api/types";
import { useWords } from "../i18n";
import { Badge } from "../kit";

export function AgentBadge({ of: { revoked_at, certificates, invited_until, origin }, now }: { of: Agent; now: number }) {
  const { t } = useWords();
  if (revoked_at) return <Badge tone="bad">{t("agents.revoked")}</Badge>;
  const good = certificates.filter((certificate) => !certificate.revoked_at);
  if (good.some(({ not_after }) => Date.parse(not_after) > now)) return <Badge tone="good">{t("agents.may_ask")}</Badge>;
  if (origin === "configuration") return <Badge tone="good">{t("agents.may_ask")}</Badge>;
  if (invited_until && Date.parse(invited_until) > now) {
    return (
      <Badge tone="info" hollow>
        {t("agents.invited")}
      </Badge>
    );
  }
  return good.length > 0 ? <Badge tone="warn">{t("agents.expired")}</Badge> : <Badge hollow>{t("agents.waits")}</Badge>;
}

/** When the latest certificate that counts ends. */
export function endOf({ certificates }: Agent): string | undefined {
  return certificates
    .filter(({ revoked_at }) => !revoked_at)
    .map(({ not_after }) => not_after)
    .sort()
    .at(-1);
}
