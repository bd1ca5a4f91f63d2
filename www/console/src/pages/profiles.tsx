import { Pencil, Plus, SlidersHorizontal } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { useMay, useResource } from "../api/queries";
import type { Issuer, Profile } from "../api/types";
import { useWords } from "../i18n";
import { Badge, Button, Chip, Chips, Empty, Facts, Loading, Marked, PageHead, Panel, Refusal, Short } from "../kit";
import { ProfileEditor } from "../profiles/editor";
import { ProfileEnding } from "../profiles/ending";

export default function Profiles() {
  const { t, number } = useWords();
  const may = useMay();
  const profiles = useResource<{ profiles: Profile[] }>("/admin/v1/profiles", { every: 10 });
  const issuers = useResource<{ issuers: Issuer[] }>("/admin/v1/issuers", { every: 30 });
  const [open, setOpen] = useState(false);
  const [edited, setEdited] = useState<Profile>();
  const list = profiles.data?.profiles ?? [];
  const edit = (profile?: Profile) => {
    setEdited(profile);
    setOpen(true);
  };
  return (
    <div className="page">
      <PageHead title={t("profiles.title")} lead={t("profiles.lead")}>
        {may("POST /admin/v1/profiles") && (
          <Button kind="primary" icon={Plus} onClick={() => edit()} data-testid="create-profile">
            {t("profile.new")}
          </Button>
        )}
      </PageHead>
      <Refusal error={profiles.error ?? issuers.error} retry={() => void profiles.refetch()} />
      {profiles.isPending && <Loading />}
      {profiles.data && list.length === 0 && (
        <Panel>
          <Empty icon={SlidersHorizontal} title={t("profiles.none")}>
            <Marked text={t("profiles.none_lead")} />
          </Empty>
        </Panel>
      )}
      {(issuers.data?.issuers ?? []).map(({ name, issuer, jwks_uri, algorithms }) => (
        <section key={name} className="issuer" aria-label={issuer}>
          <div className="issuer-head">
            <h2>{issuer}</h2>
            <a href={jwks_uri} target="_blank" rel="noreferrer" className="small">
              {t("profiles.jwks", { n: number(algorithms.length) })}
            </a>
          </div>
          <div className="cards">
            {list
              .filter((profile) => profile.issuer === issuer)
              .map((profile) => (
                <ProfileCard key={profile.name} profile={profile} edit={may("PUT /admin/v1/profiles/{profile}") && !profile.read_only ? () => edit(profile) : undefined} />
              ))}
          </div>
        </section>
      ))}
      <ProfileEditor open={open} onClose={() => setOpen(false)} profile={edited} profiles={list} issuers={issuers.data?.issuers ?? []} />
    </div>
  );
}

function ProfileCard({ profile, edit }: { profile: Profile; edit?: (() => void) | undefined }) {
  const { t, span, word, date } = useWords();
  const { name, algorithm, rsa_bits: bits, kid, audiences, modes, typ, retired_at: retired, read_only: readOnly } = profile;
  return (
    <Panel
      title={name}
      aside={
        <div className="actions">
          <Chip>{bits ? `${algorithm} ${bits}` : algorithm}</Chip>
          {edit && !retired && (
            <Button little icon={Pencil} onClick={edit} aria-label={t("profile.edit_what", { name })} data-testid={`edit-${name}`}>
              {t("profile.edit")}
            </Button>
          )}
          {!readOnly && <ProfileEnding profile={profile} />}
        </div>
      }
    >
      <Facts
        rows={[
          ...(retired ? [[t("profile.retired"), date(retired)] as [string, string]] : []),
          [t("profiles.signs"), kid ? <Link key="kid" href={`/keys/${encodeURIComponent(kid)}`}><Short text={kid} head={8} /></Link> : retired ? "–" : <Badge key="none" tone="bad">{t("timeline.nobody")}</Badge>],
          [t("policy.audiences"), <Chips key="audiences" items={audiences} />],
          [t("profile.lifetime"), t("profile.lifetime_value", { usual: span(profile.default_lifetime), most: span(profile.max_lifetime) })],
          [t("profile.modes_short"), <Chips key="modes" items={modes} />],
          ["typ", <code key="typ">{typ ?? "–"}</code>],
          [t("profile.max_session"), profile.max_session ? span(profile.max_session) : t("profile.no_renewal")],
          [t("profiles.rotation"), profile.rotate_after ? t("profiles.every", { span: span(profile.rotate_after) }) : t("profiles.by_hand")],
          ...(profile.publish_ahead ? [[t("profile.publish_ahead"), span(profile.publish_ahead)] as [string, string]] : []),
          ...(profile.has_schema ? [[t("profile.schema"), t("common.yes")] as [string, string]] : []),
          [t("agents.from"), word("agent_origin", profile.origin)],
        ]}
      />
    </Panel>
  );
}
