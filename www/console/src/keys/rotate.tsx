// Rotation by hand: the standby of a profile takes over from its active key.
import { useState } from "react";
import { useAgain } from "../api/queries";
import { send } from "../api/session";
import type { Key, Profile } from "../api/types";
import { useWords } from "../i18n";
import { Choice, Confirm, Notice } from "../kit";
import { useNow } from "../kit/now";
import { useTell } from "../kit/toasts";
import { earliest, turnsOf } from "./state";

export function RotateNow({ open, onClose, keys, profiles }: { open: boolean; onClose: () => void; keys: Key[]; profiles: Profile[] }) {
  const words = useWords();
  const { t, date, span } = words;
  const now = useNow(5);
  const again = useAgain();
  const tell = useTell();
  const turns = turnsOf(keys, profiles);
  const [name, setName] = useState("");
  const turn = turns.find((one) => one.name === name) ?? turns[0];
  const standby = turn?.standby;
  const wait = standby && earliest(standby, "activate", now);
  const run = async () => {
    if (!turn || !standby?.kid) return;
    await send("POST", `/admin/v1/keys/${encodeURIComponent(standby.kid)}:activate`);
    await again("/admin/v1/keys", "/admin/v1/profiles");
    tell(t("rotate.done", { profile: turn.name }));
  };
  const short = (key: Key) => key.label ?? key.kid?.slice(0, 8) ?? "";
  return (
    <Confirm
      open={open}
      onClose={onClose}
      title={t("rotate.title")}
      lead={t("rotate.lead")}
      confirm={t("rotate.button")}
      disabled={!standby || wait !== undefined}
      run={run}
      will={
        standby
          ? [t("rotate.will_sign", { key: short(standby) }), ...(turn.active ? [t("rotate.will_retire", { key: short(turn.active), span: span(turn.active.max_lifetime) })] : []), t("rotate.will_live", { when: date(standby.published_at) })]
          : [t("rotate.no_standby")]
      }
    >
      <Choice label={t("generate.profile")} value={turn?.name ?? ""} onChange={(event) => setName(event.target.value)} data-testid="profile">
        {turns.map((one) => (
          <option key={one.name} value={one.name}>
            {one.name}
          </option>
        ))}
      </Choice>
      {wait && (
        <Notice tone="warn" title={t("steps.not_before", { when: date(wait) })}>
          <p>{t("steps.activate.why")}</p>
        </Notice>
      )}
    </Confirm>
  );
}
