// The end of a profile, in three steps of which each can be refused: retired, its keys destroyed, deleted.
import { Archive, ArchiveRestore, Trash2 } from "lucide-react";
import { useState } from "react";
import { useAgain, useAsksPasskey, useMay } from "../api/queries";
import { send } from "../api/session";
import type { Profile } from "../api/types";
import { useWords, type Key } from "../i18n";
import { Button, Confirm, type Icon } from "../kit";
import { useTell } from "../kit/toasts";

interface Step {
  name: "retire" | "reinstate" | "delete";
  operation: string;
  icon: Icon;
  label: Key;
  what: Key;
  title: Key;
  will: Key[];
  done: Key;
}

const RETIRE: Step = {
  name: "retire",
  operation: "POST /admin/v1/profiles/{profile}:retire",
  icon: Archive,
  label: "profile.retire",
  what: "profile.retire_what",
  title: "profile.retire_title",
  will: ["profile.retire_now", "profile.retire_keys", "profile.retire_back"],
  done: "profile.retire_done",
};
const REINSTATE: Step = {
  name: "reinstate",
  operation: "POST /admin/v1/profiles/{profile}:reinstate",
  icon: ArchiveRestore,
  label: "profile.reinstate",
  what: "profile.reinstate_what",
  title: "profile.reinstate_title",
  will: ["profile.reinstate_keys"],
  done: "profile.reinstate_done",
};
const DELETE: Step = {
  name: "delete",
  operation: "DELETE /admin/v1/profiles/{profile}",
  icon: Trash2,
  label: "profile.delete",
  what: "profile.delete_what",
  title: "profile.delete_title",
  will: ["profile.delete_name", "profile.delete_needs"],
  done: "profile.delete_done",
};

export function ProfileEnding({ profile: { name, retired_at: retired } }: { profile: Profile }) {
  const { t } = useWords();
  const may = useMay();
  const again = useAgain();
  const tell = useTell();
  const asksPasskey = useAsksPasskey();
  const [open, setOpen] = useState(false);
  const [step, setStep] = useState<Step>(RETIRE);
  const path = `/admin/v1/profiles/${encodeURIComponent(name)}`;
  const run = async () => {
    if (step.name === "delete") await send("DELETE", path);
    else await send("POST", `${path}:${step.name}`);
    await again("/admin/v1/profiles", "/admin/v1/issuers", "/admin/v1/keys");
    tell(t(step.done, { name }));
  };
  return (
    <>
      {(retired ? [REINSTATE, DELETE] : [RETIRE])
        .filter(({ operation }) => may(operation))
        .map((one) => (
          <Button
            key={one.name}
            little
            kind={one === REINSTATE ? undefined : "danger"}
            icon={one.icon}
            onClick={() => {
              setStep(one);
              setOpen(true);
            }}
            aria-label={t(one.what, { name })}
            data-testid={`${one.name}-${name}`}
          >
            {t(one.label)}
          </Button>
        ))}
      <Confirm
        open={open}
        onClose={() => setOpen(false)}
        danger={step !== REINSTATE}
        passkey={asksPasskey(step.operation)}
        title={t(step.title, { name })}
        will={step.will.map((sentence) => t(sentence))}
        confirm={t(step.label)}
        run={run}
      />
    </>
  );
}
