import { Link } from "wouter";
import type { Key } from "../api/types";
import { useWords, type Words } from "../i18n";
import { share, ticksOf, type Lane, type SlotLanes, type Tone, type Window } from "./model";

const LEGEND: Tone[] = ["published", "active", "retiring", "suspended", "compromised", "retired", "destroy_scheduled"];

export function Timeline({ slots, window, now }: { slots: SlotLanes[]; window: Window; now: number }) {
  const words = useWords();
  const { t } = words;
  const { at: ticks, step } = ticksOf(window, 7);
  const format = new Intl.DateTimeFormat(words.language, step >= 86_400_000 ? { month: "short", day: "numeric", ...(step > 100 * 86_400_000 && { year: "numeric" }) } : { hour: "numeric", minute: "2-digit" });
  const here = share(window, now) * 100;
  const shown = ticks.map((tick) => ({ tick, place: share(window, tick) * 100 }));
  return (
    <div className="timeline">
      <div className="axis" aria-hidden>
        {shown
          .filter(({ place }) => Math.abs(place - here) > 6.5 && place > 2 && place < 98)
          .map(({ tick, place }, index) => (
            <span key={tick} style={{ left: `${place}%` }} className={[index % 2 && "optional", nearness(place - here)].filter(Boolean).join(" ")}>
              {format.format(tick)}
            </span>
          ))}
        <span className="now-label" style={{ left: `${here}%` }}>
          {t("timeline.now")}
        </span>
      </div>
      {slots.map((slot) => (
        <section key={slot.name} className="slot" aria-label={slotName(slot, words)}>
          <div className="slot-name">
            <b>{slotName(slot, words)}</b>
            <span>{slotNote(slot, words)}</span>
          </div>
          <ul className="lanes">
            {shown.map(({ tick, place }) => (
              <i key={tick} className="rule" style={{ left: `${place}%` }} aria-hidden />
            ))}
            <i className="now" style={{ left: `${here}%` }} aria-hidden />
            {slot.lanes.map((lane) => (
              <LaneRow key={lane.key.cka_id} lane={lane} window={window} words={words} now={now} />
            ))}
          </ul>
        </section>
      ))}
    </div>
  );
}

/** How narrow a timeline must be for a label at this distance, in hundredths of it, to touch the one of the present. */
function nearness(distance: number): string {
  if (Math.abs(distance) < 12) return "near nearby";
  return Math.abs(distance) < 19 ? "nearby" : "";
}

export function TimelineLegend() {
  const { word } = useWords();
  return (
    <p className="legend">
      {LEGEND.map((tone) => (
        <span key={tone}>
          <i className={`tone-${tone}`} aria-hidden />
          {word("state", tone)}
        </span>
      ))}
    </p>
  );
}

function LaneRow({ lane: { key, segments, end }, window, words, now }: { lane: Lane; window: Window; words: Words; now: number }) {
  const visible = segments.filter(({ from, to }) => to >= window.from && from <= window.to);
  const latest = visible.findLastIndex(({ planned }) => !planned);
  const left = share(window, visible[0]?.from ?? end ?? now) * 100;
  const right = share(window, Math.max(visible.at(-1)?.to ?? 0, end ?? 0) || now) * 100;
  const kid = key.kid ?? key.cka_id;
  const note = noteOf(key, words, now);
  const state = words.word("state", key.state);
  return (
    <li className="lane">
      <Link href={`/keys/${encodeURIComponent(kid)}`} data-testid={`lane-${kid}`} data-state={key.state}>
        {visible.map(({ tone, from, to, planned }, index) => (
          <i
            key={`${tone}${index}`}
            aria-hidden
            className={`segment tone-${tone}${planned ? " planned" : ""}${index === latest ? " latest" : ""}${index === visible.length - 1 ? " end" : ""}`}
            // What has been keeps its right end: widened to the least width of a bar, it would pass the line of the present.
            style={{ ...(planned ? { left: `${share(window, from) * 100}%` } : { right: `${(1 - share(window, to)) * 100}%` }), width: `${(share(window, to) - share(window, from)) * 100}%` }}
          />
        ))}
        {end !== undefined && end >= window.from && end <= window.to && <i aria-hidden className={`end-mark${key.state === "destroyed" ? "" : " bad"}`} style={{ left: `${share(window, end) * 100}%` }} />}
        <span className="text" style={left > 58 ? { right: `${100 - right}%` } : { left: `${left}%` }}>
          <code>{kid.slice(0, 8)}</code>
          {key.label && <b>{key.label}</b>}
          <span>{[state, note].filter(Boolean).join(" · ")}</span>
        </span>
      </Link>
    </li>
  );
}

/** What comes next for a key. */
export function noteOf(key: Key, { t, ago, day }: Words, now: number): string {
  if (key.state === "published" && key.can_sign_from && Date.parse(key.can_sign_from) > now) return t("timeline.can_sign", { when: ago(key.can_sign_from, now) });
  if (key.state === "active" && key.rotation) return t("timeline.rotates", { when: ago(key.rotation, now) });
  if (key.state === "active" && key.not_after) return t("timeline.ends", { when: ago(key.not_after, now) });
  if (key.state === "retiring" && key.until) return t("timeline.retires", { when: ago(key.until, now) });
  if (key.state === "destroy_scheduled" && key.destroy_at) return t("timeline.destroyed", { when: ago(key.destroy_at, now) });
  if (key.state === "compromised" && key.compromised_at) return day(key.compromised_at);
  if (key.state === "destroyed" && key.destroyed_at) return day(key.destroyed_at);
  if (key.state === "retired" && key.retired_at) return day(key.retired_at);
  return "";
}

export function slotName({ purpose, profile, agent, issuer }: { purpose: string; profile: string; agent: string | null; issuer: string }, { word }: Words): string {
  if (purpose !== "token") return word("purpose", purpose);
  const name = agent ? `${profile} / ${agent}` : profile;
  return issuer ? `${issuer}: ${name}` : name;
}

function slotNote(slot: SlotLanes, { n, t }: Words): string {
  const active = slot.lanes.find(({ key }) => key.state === "active");
  const count = n("timeline.keys", slot.lanes.length);
  return active ? `${active.key.alg} · ${count}` : `${t("timeline.nobody")} · ${count}`;
}
