// What one person proposed and another has to approve.
import { useState } from "react";
import { Link } from "wouter";
import { useAgain, useAsksPasskey, useMay, useSession } from "../api/queries";
import { send } from "../api/session";
import { personOf, type Approval } from "../api/types";
import { useWords } from "../i18n";
import { Button, Confirm, Notice, Short } from "../kit";
import { useTell } from "../kit/toasts";

export function Approvals({ approvals }: { approvals: Approval[] }) {
  const { t, date, ago, number } = useWords();
  const me = useSession()?.user?.name;
  const may = useMay();
  const again = useAgain();
  const tell = useTell();
  const asksPasskey = useAsksPasskey();
  const [asked, setAsked] = useState<{ approval: Approval; what: "approve" | "withdraw" }>();
  const days = (approval: Approval) => number(approval.detail.days ?? 7);
  const run = async () => {
    if (!asked) return;
    await send("POST", `/admin/v1/approvals/${encodeURIComponent(asked.approval.proposal)}:${asked.what}`);
    await again("/admin/v1/keys", "/admin/v1/approvals");
    tell(asked.what === "approve" ? t("approvals.approved") : t("approvals.withdrawn"));
  };
  return (
    <>
      {approvals.map((approval) => {
        const who = personOf(approval.proposer);
        const own = who === me;
        const canApprove = !own && may("POST /admin/v1/approvals/{proposal}:approve");
        return (
          <Notice
            key={approval.proposal}
            tone={own ? "info" : "warn"}
            title={t("approvals.title", { who, days: days(approval) })}
            aside={
              <div className="actions">
                {may("POST /admin/v1/approvals/{proposal}:withdraw") && (
                  <Button little onClick={() => setAsked({ approval, what: "withdraw" })} data-testid="withdraw">
                    {t("approvals.withdraw")}
                  </Button>
                )}
                {canApprove && (
                  <Button little kind="danger" onClick={() => setAsked({ approval, what: "approve" })} data-testid="approve">
                    {t("approvals.approve")}
                  </Button>
                )}
              </div>
            }
          >
            <p>
              {t("approvals.key")} <Link href={`/keys/${encodeURIComponent(approval.kid)}`}><Short text={approval.kid} head={8} /></Link>. {own ? t("approvals.own") : canApprove && t("approvals.other")} {t("approvals.until", { when: ago(approval.approve_until), date: date(approval.approve_until) })}
            </p>
          </Notice>
        );
      })}
      <Confirm
        open={asked !== undefined}
        onClose={() => setAsked(undefined)}
        danger={asked?.what === "approve"}
        passkey={asked !== undefined && asksPasskey(`POST /admin/v1/approvals/{proposal}:${asked.what}`)}
        title={asked?.what === "withdraw" ? t("approvals.withdraw_title") : t("approvals.approve_title")}
        lead={asked && <Short text={asked.approval.kid} head={12} tail={8} />}
        will={
          asked?.what === "withdraw"
            ? [t("approvals.withdraw_will")]
            : [t("approvals.will_schedule", { days: asked ? days(asked.approval) : "" }), t("approvals.will_both"), t("approvals.will_cancel")]
        }
        confirm={asked?.what === "withdraw" ? t("approvals.withdraw") : t("approvals.approve")}
        run={run}
      />
    </>
  );
}
