import { CHECK_TEXTS, KEY_REASONS, dangers, finding, leftOut, type CheckText } from "./checks";
import type { Disclosure } from "./disclosures";
import { explainDates, jsonNodes, showJson, visible } from "./json";
import type { PolicyForm } from "./policy";
import { calendar } from "./time";

type Json = Record<string, unknown>;

/** What the verifier said of a token, or why it was not asked. */
export type Outcome =
  | { state: "idle"; message: string }
  | { state: "accepted"; header: Json; claims: Json }
  | { state: "rejected"; code: string; check: string; message: string }
  | { state: "error"; code: string; message: string };

/** A token read without any judgement, for display. */
export type Contents = { header: Json; claims: Json } | { problem: string };

/** The element with this id. The ids are the page's own, so a missing one is a mistake in it. */
export function byId<T extends Element = HTMLElement>(id: string): T {
  const element = document.querySelector<T>(`#${id}`);
  if (element === null) throw new Error(`no element #${id}`);
  return element;
}

const WORDS = { running: "Judging", idle: "Waiting", accepted: "Accepted", rejected: "Rejected", error: "Not judged" } as const;
const ICONS = { running: "idle", idle: "idle", accepted: "pass", rejected: "fail", error: "error" } as const;
const STATES = { pass: "passed", fail: "failed", "not-checked": "not checked", "not-reached": "not reached" } as const;

/** Builds the list of checks, none of them reached. */
export function listChecks(): void {
  byId("checks").replaceChildren(
    ...CHECK_TEXTS.map(({ name, title, demand }) => {
      const item = document.createElement("li");
      item.className = "check";
      item.dataset["testid"] = `check-${name}`;
      item.dataset["state"] = "not-reached";
      item.append(
        icon(),
        textElement("span", "check-title", title),
        textElement("span", "visually-hidden check-state", `: ${STATES["not-reached"]}. `),
        textElement("span", "check-note", demand),
      );
      return item;
    }),
  );
}

/** From now until the next outcome no verdict can be read from the page. What is emptied keeps its height: nothing jumps. */
export function showRunning(): void {
  if (byId("verdict").dataset["state"] === "running") return;
  keepHeights();
  for (const [index, item] of checkItems().entries()) {
    const { demand } = CHECK_TEXTS[index] as CheckText;
    showCheck(item, "not-reached", item.querySelector(".check-note")?.textContent === demand ? demand : "", false);
  }
  setText(byId("checks-summary"), "in this order");
  showTiming(undefined, undefined);
  setText(byId("trust"), "Unverified");
  for (const part of ["trust", "header", "claims", "disclosed"]) byId(part).dataset["verified"] = "false";
  showVerdict("running", "", "", "");
}

/** Shows an outcome: verdict and each check. */
export function showOutcome(outcome: Outcome, contents: Contents | undefined, form: PolicyForm, now: number): void {
  const failed = outcome.state === "rejected" ? outcome.check : "";
  const code = outcome.state === "rejected" || outcome.state === "error" ? outcome.code : "";
  const message = outcome.state === "accepted" ? whyAccepted(form) : visible(outcome.message);
  const claims = contents !== undefined && "header" in contents ? contents.claims : {};

  const judged = outcome.state === "accepted" || outcome.state === "rejected";
  let passed = 0;
  let skipped = 0;
  let reached = outcome.state === "accepted" || (failed !== "" && CHECK_TEXTS.some(({ name }) => name === failed));
  for (const [index, item] of checkItems().entries()) {
    const { name, demand } = CHECK_TEXTS[index] as CheckText;
    const skip = leftOut(name, form, claims);
    const state = !reached ? "not-reached" : name === failed ? "fail" : skip !== undefined ? "not-checked" : "pass";
    if (state === "fail") reached = false;
    if (state === "pass") passed += 1;
    if (state === "not-checked") skipped += 1;
    const found =
      state === "pass" && contents !== undefined && "header" in contents ? finding(name, form, contents.header, claims, now) : "";
    const note = state === "fail" ? message : state === "not-checked" ? (skip ?? "") : visible(found);
    showCheck(item, state, note || demand, found !== "");
  }
  const others = skipped === 0 ? "" : `, ${skipped} not checked`;
  setText(byId("checks-summary"), !judged ? "in this order" : `${passed} of ${CHECK_TEXTS.length} passed${others}`);
  byId("timing").hidden = !judged;
  showVerdict(outcome.state, code, failed, message);
  keepHeights(false);
}

function showVerdict(state: keyof typeof WORDS, code: string, check: string, message: string): void {
  setText(byId("verdict-word"), WORDS[state]);
  setText(byId("verdict-code"), code);
  byId("verdict-code").hidden = code === "";
  setText(byId("verdict-message"), message);
  useIcon(byId<SVGUseElement>("verdict-icon"), ICONS[state]);
  setText(byId("glance-text"), code === "" ? WORDS[state] : `${WORDS[state]} · ${code}`);
  // While nothing is there to be judged the bar is away, and typing does not bring it.
  const glance = byId("glance");
  if (state !== "running" || glance.dataset["state"] !== "idle") glance.dataset["state"] = state;

  const verdict = byId("verdict");
  verdict.ariaBusy = String(state === "running");
  verdict.dataset["code"] = code;
  verdict.dataset["check"] = check;
  verdict.dataset["state"] = state;
}

function whyAccepted(form: PolicyForm): string {
  const lax = dangers(form);
  if (lax.length === 0) return "Every check passed: header and claims can be trusted.";
  return `Accepted by a policy that ${new Intl.ListFormat("en").format(lax)}.`;
}

function checkItems(): HTMLElement[] {
  return [...byId("checks").querySelectorAll<HTMLElement>(".check")];
}

function keepHeights(kept = true): void {
  const elements = [byId("verdict"), byId("timing"), ...checkItems()];
  const heights = elements.map((element) => (kept ? `${element.offsetHeight}px` : ""));
  for (const [index, element] of elements.entries()) element.style.minHeight = heights[index] ?? "";
}

/** Shows header and claims, marked by whether the verifier stands behind them; `signed` says whether at least the signature is good. */
export function showContents(contents: Contents | undefined, verified: boolean, now: number, signed = verified): void {
  const trust = byId("trust");
  const problem = contents !== undefined && "problem" in contents ? contents.problem : undefined;
  setText(trust, verified ? "Verified" : signed ? "Not accepted" : "Unverified");
  trust.hidden = contents === undefined || problem !== undefined;
  setText(
    byId("trust-note"),
    contents === undefined
      ? "Header and claims appear here."
      : problem !== undefined
        ? `Cannot be read: ${visible(problem)}`
        : verified
          ? ""
          : signed
            ? "Signed by the issuer's key, and not accepted: do not act on it."
            : "Anyone could have written this. Believe none of it until the token is accepted.",
  );
  byId("trust-note").hidden = verified;
  trust.dataset["verified"] = String(verified);
  for (const part of ["header", "claims"] as const) {
    const element = byId(part);
    element.dataset["verified"] = String(verified);
    const empty = contents === undefined || "problem" in contents;
    element.hidden = empty;
    byId(`${part}-title`).hidden = empty;
    if (empty) element.replaceChildren();
    else showJson(element, contents[part], now);
  }
}

/** Lists what the holder of an SD-JWT disclosed; whether it belongs to the token is known once that is accepted. */
export function showDisclosed(disclosed: readonly Disclosure[], verified: boolean): void {
  const list = byId("disclosed");
  list.hidden = byId("disclosed-title").hidden = disclosed.length === 0;
  list.dataset["verified"] = String(verified);
  list.replaceChildren(
    ...disclosed.map((disclosure) => {
      const item = document.createElement("li");
      if ("problem" in disclosure) {
        item.append(visible(disclosure.problem));
        return item;
      }
      const value = textElement("code", "value", "");
      value.append(...jsonNodes(disclosure.value));
      item.append(textElement("code", "", visible(disclosure.name ?? "array element")), value);
      return item;
    }),
  );
}

/** Says anew what the dates of header and claims mean at another instant. */
export function showPassingTime(now: number): void {
  explainDates(byId("header"), now);
  explainDates(byId("claims"), now);
  setText(byId("judged-at"), `Judged as of ${calendar(now)}`);
}

/** Shows how many keys there are, and those that are left out with the reason. */
export function showKeys(keys: { keys: number; usable: number; skipped: readonly { index: number; reason: string }[] } | undefined): void {
  setText(
    byId("jwks-summary"),
    keys === undefined ? "" : keys.usable === keys.keys ? plural(keys.keys, "key") : `${keys.usable} of ${plural(keys.keys, "key")} usable`,
  );
  const list = byId("skipped");
  const skipped = keys?.skipped ?? [];
  list.hidden = skipped.length === 0;
  list.replaceChildren(
    ...skipped.map(({ index, reason }) => {
      const item = document.createElement("li");
      item.dataset["reason"] = reason;
      item.append(textElement("code", "", `keys[${index}]`), ` not used: ${KEY_REASONS[reason] ?? visible(reason)}`);
      return item;
    }),
  );
}

/** Shows by which instant the token was judged, and how long one verification took. */
export function showTiming(now: number | undefined, milliseconds: number | undefined): void {
  setText(byId("judged-at"), now === undefined ? "" : `Judged as of ${calendar(now)}`);
  setText(
    byId("time-taken"),
    milliseconds === undefined || milliseconds <= 0 ? "" : milliseconds < 1 ? `${Math.max(1, Math.round(milliseconds * 1000))} µs a verification` : `${milliseconds.toFixed(1)} ms a verification`,
  );
}

/** Writes text only where it differs, so that live regions speak only of changes. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

function showCheck(item: HTMLElement, state: keyof typeof STATES, text: string, found: boolean): void {
  item.dataset["state"] = state;
  const use = item.querySelector("use");
  if (use !== null) useIcon(use, state === "not-checked" ? "error" : state);
  setText(item.querySelector(".check-state") as Element, `: ${STATES[state]}. `);
  const note = item.querySelector(".check-note") as Element;
  setText(note, text);
  note.classList.toggle("found", found);
}

function icon(): SVGSVGElement {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(namespace, "use");
  useIcon(use, "not-reached");
  svg.append(use);
  return svg;
}

function useIcon(use: SVGUseElement, name: string): void {
  use.setAttribute("href", `#icon-${name}`);
}

function textElement(tag: string, className: string, text: string): HTMLElement {
  const element = document.createElement(tag);
  if (className !== "") element.className = className;
  element.textContent = text;
  return element;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
