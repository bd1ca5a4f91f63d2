import { ArrowLeft } from "lucide-react";
import { useEffect, useState } from "react";
import { Link } from "wouter";
import { useMay, useResource, useSession } from "../api/queries";
import type { Approval, Key, KeyDetail, Profile } from "../api/types";
import { useWords, type Key as Text, type Words } from "../i18n";
import { Approvals } from "../keys/approvals";
import { PublicKey } from "../keys/public";
import { Attributes } from "../keys/attributes";
import { stateTone, stepsOf, type Step } from "../keys/state";
import { KeyStep, keyOf } from "../keys/steps";
import { Badge, Button, CopyButton, Facts, Loading, PageHead, Panel, Refusal } from "../kit";
import { useNow } from "../kit/now";
import { slotsOf, windowOf } from "../timeline/model";
import { slotName, Timeline } from "../timeline/timeline";

const DANGER: readonly Step[] = ["compromise", "schedule-destroy"];

export default function KeyPage({ kid }: { kid: string }) {
  const words = useWords();
  const { t, word, span } = words;
  const may = useMay();
  const session = useSession();
  const now = useNow(5);
  const keys = useResource<{ keys: Key[] }>("/admin/v1/keys", { every: 4 });
  const approvals = useResource<{ approvals: Approval[] }>("/admin/v1/approvals", { every: 10 });
  const detail = useResource<KeyDetail>(`/admin/v1/keys/${encodeURIComponent(kid)}`, { every: 30 });
  const profiles = useResource<{ profiles: Profile[] }>("/admin/v1/profiles", { every: 30 });
  const [step, setStep] = useState<Step>();
  const key = keys.data?.keys.find((one) => one.kid === kid || one.cka_id === kid);
  const proposals = approvals.data?.approvals.filter((approval) => approval.kid === key?.kid);
  // Where one is open, or may be, another "Destroy" could be the second person's word: that is given on the proposal itself.
  const proposed = proposals?.length !== 0;
  useEffect(() => {
    if (proposed) setStep((step) => (step === "schedule-destroy" ? undefined : step));
  }, [proposed]);
  if (keys.isPending) {
    return (
      <div className="page">
        <Back />
        <PageHead title={t("keys.key")} />
        <Loading />
      </div>
    );
  }
  if (!key) {
    return (
      <div className="page">
        <Back />
        <PageHead title={t("key.unknown")} lead={<code>{kid}</code>} />
        <Refusal error={keys.error} retry={() => void keys.refetch()} />
      </div>
    );
  }
  const steps = stepsOf(key, proposed).filter((one) => may(`POST /admin/v1/keys/{kid}:${one}`));
  const slots = slotsOf(
    (keys.data?.keys ?? []).filter((other) => other.purpose === key.purpose && other.profile === key.profile && other.agent === key.agent && other.issuer === key.issuer),
    now,
  );
  return (
    <div className="page">
      <Back />
      <PageHead
        title={key.label || t("key.of", { name: slotName({ ...key, agent: key.agent ?? null }, words) })}
        lead={
          <span className="key-head">
            <Badge tone={stateTone(key.state)}>
              <span data-testid="key-state" data-state={key.state}>
                {word("state", key.state)}
              </span>
            </Badge>
            <span>
              {key.alg} · {key.key}
            </span>
            <span className="name">
              <code className="kid">{kid}</code> <CopyButton text={kid} label={t("common.copy_what", { what: "kid" })} />
            </span>
          </span>
        }
      >
        {steps.map((one) => (
          <Button key={one} kind={DANGER.includes(one) ? "danger" : undefined} onClick={() => setStep(one)} data-testid={`step-${one}`}>
            {t(`steps.${keyOf(one)}.button`)}
          </Button>
        ))}
      </PageHead>
      <Refusal error={keys.error ?? approvals.error} retry={() => void Promise.all([keys.refetch(), approvals.refetch()])} />
      <Approvals approvals={proposals ?? []} />
      <div className="columns">
        <div className="stack">
          <Panel title={t("key.among")}>
            <Timeline slots={slots} now={now} window={windowOf(slots, now, "fit")} />
          </Panel>
          {detail.data?.jwk && (
            <Panel title={t("key.public")} note={t("key.public_note")}>
              <PublicKey jwk={detail.data.jwk} pem={detail.data.pem} />
            </Panel>
          )}
        </div>
        <div className="stack">
          <Panel title={t("key.life")}>
            <Story of={key} words={words} now={now} />
          </Panel>
          <Panel title={t("key.facts")}>
            <Facts
              rows={[
                [t("keys.for"), slotName({ ...key, agent: key.agent ?? null }, words)],
                [t("key.origin"), word("origin", key.origin)],
                [t("key.lifetime"), key.max_lifetime ? span(key.max_lifetime) : "–"],
              ]}
            />
          </Panel>
        </div>
      </div>
      {key.kid && (
        <Panel title={t("key.attributes")}>
          <Refusal error={detail.error} retry={() => void detail.refetch()} />
          {detail.data ? <Attributes attributes={detail.data.hsm} trouble={detail.data.hsm_trouble} /> : !detail.error && <Loading />}
        </Panel>
      )}
      <KeyStep of={key} step={step} onClose={() => setStep(undefined)} now={now} keys={keys.data?.keys ?? []} actions={detail.data?.actions} profiles={profiles.data?.profiles ?? []} mayEmergency={session?.user?.role === "administrator"} />
    </div>
  );
}

function Back() {
  const { t } = useWords();
  return (
    <Link href="/keys" className="crumb">
      <ArrowLeft aria-hidden />
      {t("nav.keys")}
    </Link>
  );
}

/** Its moments in order, those ahead last. */
function Story({ of: key, words: { t, date, ago }, now }: { of: Key; words: Words; now: number }) {
  const moments: [Text, string | null | undefined, string?][] = [
    ["story.created", key.created_at],
    ["story.published", key.published_at],
    ["story.activated", key.activated_at],
    ["story.suspended", key.suspended_at, "warn"],
    ["story.demoted", key.demoted_at],
    ["story.retired", key.retired_at],
    ["story.compromised", key.compromised_at, "bad"],
    ["story.destroyed", key.destroyed_at, "bad"],
    ["story.can_sign", key.can_sign_from],
    ["story.rotation", key.rotation],
    ["story.until", key.state === "retiring" ? key.until : undefined],
    ["story.not_after", key.not_after],
    ["story.destroy", key.state === "destroy_scheduled" ? key.destroy_at : undefined, "bad"],
  ];
  const told = moments.filter((moment): moment is [Text, string, string?] => Boolean(moment[1])).sort(([, a], [, b]) => Date.parse(a) - Date.parse(b));
  return (
    <ol className="story">
      {told.map(([text, at, tone]) => (
        <li key={text} className={`${tone ?? ""}${Date.parse(at) > now ? " future" : ""}`}>
          <span>{t(text)}</span>
          <time dateTime={at} title={date(at)}>
            {ago(at, now)}
          </time>
          <time dateTime={at}>{date(at)}</time>
        </li>
      ))}
    </ol>
  );
}
