import type { Agent } from "../api/types";
import { useWords, type Key as Text } from "../i18n";
import { Badge, type Tone } from "../kit";
import { standingOf, type Standing } from "./standing";

const LOOKS: Record<Standing, [Text, Tone]> = {
  revoked: ["agents.revoked", "bad"],
  may_ask: ["agents.may_ask", "good"],
  invited: ["agents.invited", "info"],
  must_enrol: ["agents.must_enrol", "warn"],
  expired: ["agents.expired", "warn"],
  waits: ["agents.waits", "plain"],
};

export function AgentBadge({ of: agent, now }: { of: Agent; now: number }) {
  const { t } = useWords();
  const standing = standingOf(agent, now);
  const [text, tone] = LOOKS[standing];
  return (
    <Badge tone={tone} hollow={standing === "invited" || standing === "waits"}>
      {t(text)}
    </Badge>
  );
}

/** When the latest certificate that counts ends. */
export function endOf({ certificates }: Agent): string | undefined {
  return certificates
    .filter(({ revoked_at }) => !revoked_at)
    .map(({ not_after }) => not_after)
    .sort()
    .at(-1);
}
