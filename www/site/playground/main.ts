import { ConfigurationError, VerifyError, createVerifier, inspectJwks, inspectToken, type Algorithm } from "edgeseal";
import { CHECK_TEXTS } from "./checks";
import { makeExample, type ExampleKind } from "./example";
import { ALGORITHMS, FieldProblem, instant, issuerOptions, plainByDefault, snippet, type PolicyForm } from "./policy";
import { issuersKeys } from "./issuer";
import { fromFragment, toFragment, type Withheld } from "./share";
import { disclosuresOf, presentedToken } from "./disclosures";
import { inLines, visible } from "./json";
import { byId, listChecks, setText, showContents, showDisclosed, showKeys, showOutcome, showPassingTime, showRunning, showTiming, type Contents, type Outcome } from "./view";

const TYPING_PAUSE_MS = 160;
const REFRESH_MS = 5000;
const TIMING_BUDGET_MS = 15;
const TIMING_RUNS = { least: 4, most: 200 };
const REASONS: Record<Withheld, string> = { private: "it holds a private key", unreadable: "it is not a JWK Set", token: "it holds a token" };

const token = byId<HTMLTextAreaElement>("token");
const jwks = byId<HTMLTextAreaElement>("jwks");
const texts = {
  issuer: byId<HTMLInputElement>("issuer"),
  audience: byId<HTMLInputElement>("audience"),
  typ: byId<HTMLInputElement>("typ"),
  leeway: byId<HTMLInputElement>("leeway"),
  now: byId<HTMLInputElement>("now"),
  maxLifetime: byId<HTMLInputElement>("max-lifetime"),
  maxAge: byId<HTMLInputElement>("max-age"),
  audienceClaim: byId<HTMLInputElement>("audience-claim"),
  requiredClaims: byId<HTMLInputElement>("required-claims"),
  nonce: byId<HTMLInputElement>("nonce"),
};
const keyBinding = byId<HTMLSelectElement>("key-binding");
const allowPlain = byId<HTMLInputElement>("allow-plain");
const switches = {
  skipIssuer: byId<HTMLInputElement>("skip-issuer"),
  skipAudience: byId<HTMLInputElement>("skip-audience"),
  allowMissingExp: byId<HTMLInputElement>("allow-missing-exp"),
  allowRsaExponent3: byId<HTMLInputElement>("allow-rsa-exponent-3"),
  skipNonce: byId<HTMLInputElement>("skip-nonce"),
};
const algorithms = ALGORITHMS.map((name) => {
  const input = document.createElement("input");
  input.type = "checkbox";
  input.value = name;
  input.checked = name === "ES256";
  input.dataset["testid"] = `algorithm-${name}`;
  const label = document.createElement("label");
  label.className = "chip toggle";
  label.append(input, name);
  byId("algorithm-list").append(label);
  return input;
});

/** Notes that tell what came of a button, with what they say before. */
const notes = ["fetch-note", "share-note"].map((id) => ({ note: byId(id), hint: byId(id).textContent ?? "" }));

let latest = 0;
let fetches = 0;
let shown: { outcome: Outcome; contents: Contents | undefined } | undefined;
let pause: ReturnType<typeof setTimeout> | undefined;

listChecks();
openFragment();
void start();

async function start(): Promise<void> {
  try {
    // Loads and compiles the WASM now: from here on the page needs no network.
    await inspectJwks(`{"keys":[]}`);
  } catch (error) {
    showFailure(`The verifier could not be loaded: ${sentence(error)}`);
    return;
  }
  document.documentElement.dataset["ready"] = "true";
  await judge();
  setInterval(() => void followTheClock(), REFRESH_MS);
  document.addEventListener("visibilitychange", () => void followTheClock());
}

keyBinding.addEventListener("input", () => setAllowPlain(plainByDefault(keyBinding.value as PolicyForm["keyBinding"])));
byId("form").addEventListener("input", () => {
  restoreHints();
  begin();
  pause = setTimeout(() => void judge(), TYPING_PAUSE_MS);
});
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  void judge().then(bringVerdictIntoView);
});
byId("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId<HTMLFormElement>("form").requestSubmit();
});
for (const button of document.querySelectorAll<HTMLButtonElement>("[data-example]")) {
  button.addEventListener("click", () => void loadExample(button.dataset["example"] as ExampleKind));
}
byId("freeze").addEventListener("click", () => {
  texts.now.value = texts.now.value.trim() === "" ? `${new Date().toISOString().slice(0, 19)}Z` : "";
  restoreHints();
  void judge();
});
byId("fetch-keys").addEventListener("click", () => void fetchKeys());
byId("share").addEventListener("click", () => void share());
byId("copy-snippet").addEventListener("click", () => void copySnippet());
addEventListener("hashchange", () => {
  if (!openFragment()) return;
  restoreHints();
  void judge();
});
new IntersectionObserver(([entry]) => {
  const below = entry !== undefined && !entry.isIntersecting && entry.boundingClientRect.top > 0;
  byId("glance").classList.toggle("away", !below);
}).observe(byId("verdict"));

/** Judges what the form holds. The last call wins; nothing here touches the network. */
async function judge(): Promise<void> {
  const run = begin();
  try {
    await judgeForm(run);
  } catch (error) {
    if (run === latest) showFailure(`The page could not show this token: ${sentence(error)}`);
  }
}

async function judgeForm(run: number): Promise<void> {
  const form = readForm();
  const compact = token.value.trim();

  const keys = form.jwks.trim() === "" ? undefined : await inspectJwks(form.jwks).catch(() => undefined);
  const { outcome, now, milliseconds } = await outcomeOf(compact, form, true);
  const contents = outcome.state === "accepted" ? outcome : await contentsOf(compact);
  if (run !== latest) return;

  setText(byId("token-parts"), compact === "" ? "" : compact.split(".", 6).map((part) => part.length).join(" · ") + " characters");
  setText(byId("freeze"), form.now.trim() === "" ? "Freeze" : "Use now");
  showKeys(keys);
  showSnippet(form);
  showContents(contents, outcome.state === "accepted", now, isSigned(outcome));
  showDisclosed(disclosuresOf(compact), outcome.state === "accepted");
  showTiming(milliseconds === undefined ? undefined : now, milliseconds);
  showOutcome(outcome, contents, form, now);
  shown = { outcome, contents };
}

/** Whether what refused it comes after the signature. */
function isSigned(outcome: Outcome): boolean {
  const place = (name: string) => CHECK_TEXTS.findIndex((check) => check.name === name);
  return outcome.state === "accepted" || (outcome.state === "rejected" && place(outcome.check) > place("signature"));
}

/** The page's own failure: of the text that is there no verdict stands, and none of an older one. */
function showFailure(message: string): void {
  showContents(undefined, false, 0);
  showDisclosed([], false);
  showTiming(undefined, undefined);
  showOutcome({ state: "error", code: "", message }, undefined, readForm(), 0);
}

/** By the device's clock a verdict can change while nobody touches the page. */
async function followTheClock(): Promise<void> {
  const state = shown?.outcome.state;
  if (document.hidden || texts.now.value.trim() !== "" || byId("verdict").dataset["state"] !== state) return;
  if (shown === undefined || (state !== "accepted" && state !== "rejected")) return;
  const { contents, outcome: before } = shown;
  const run = latest;
  const form = readForm();
  const { outcome, now } = await outcomeOf(token.value.trim(), form, false);
  if (run !== latest) return;
  if (codeIn(outcome) !== codeIn(before)) return judge();
  showPassingTime(now);
  showOutcome(outcome, contents, form, now);
}

/** From here on the last verdict is of an older text. */
function begin(): number {
  clearTimeout(pause);
  showRunning();
  latest += 1;
  return latest;
}

function codeIn(outcome: Outcome): string {
  return "code" in outcome ? outcome.code : outcome.state;
}

async function outcomeOf(compact: string, form: PolicyForm, measure: boolean): Promise<{ outcome: Outcome; now: number; milliseconds?: number }> {
  const deviceClock = Date.now() / 1000;
  if (compact === "") return { outcome: { state: "idle", message: "Paste a token, or load the example." }, now: deviceClock };
  if (form.jwks.trim() === "") return { outcome: { state: "idle", message: "Paste the JWK Set of the token’s issuer." }, now: deviceClock };
  try {
    const now = instant(form.now) ?? deviceClock;
    const verifier = createVerifier({ ...issuerOptions(form), jwks: form.jwks, clock: () => now, fetch: refuseToFetch, tokenCache: 0 });
    const call = form.nonce.trim() === "" ? {} : { nonce: form.nonce.trim() };
    const outcome = await once(() => verifier.verify(compact, call));
    if (!measure) return { outcome, now };
    return { outcome, now, milliseconds: await timed(() => once(() => verifier.verify(compact, call))) };
  } catch (error) {
    return { outcome: { state: "error", code: codeOf(error), message: sentence(error) }, now: deviceClock };
  }
}

async function contentsOf(compact: string): Promise<Contents | undefined> {
  if (compact === "") return undefined;
  try {
    const { header, claims } = await inspectToken(presentedToken(compact));
    return { header: { ...header }, claims: { ...claims } };
  } catch (error) {
    return { problem: sentence(error) };
  }
}

async function once(verify: () => Promise<{ header: object; claims: object }>): Promise<Outcome> {
  try {
    const { header, claims } = await verify();
    return { state: "accepted", header: { ...header }, claims: { ...claims } };
  } catch (error) {
    // Without a check it is not the token that is at fault, but the JWK Set.
    if (!(error instanceof VerifyError) || error.check === null) throw error;
    return { state: "rejected", code: error.code, check: error.check, message: sentence(error) };
  }
}

// Clocks of browsers are coarse, or stand still: the mean of as many runs as fit the budget.
async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  let runs = 0;
  let elapsed: number;
  do {
    await work();
    runs += 1;
    elapsed = performance.now() - start;
  } while (runs < TIMING_RUNS.least || (elapsed < TIMING_BUDGET_MS && runs < TIMING_RUNS.most));
  return elapsed / runs;
}

function codeOf(error: unknown): string {
  if (error instanceof VerifyError) return error.code;
  return error instanceof ConfigurationError || error instanceof FieldProblem ? "policy_invalid" : "";
}

function refuseToFetch(): Promise<Response> {
  return Promise.reject(new Error("the playground fetches nothing"));
}

function readForm(): PolicyForm {
  const form = { jwks: jwks.value, algorithms: algorithms.filter((input) => input.checked).map((input) => input.value as Algorithm) } as PolicyForm;
  form.keyBinding = keyBinding.value as PolicyForm["keyBinding"];
  form.allowPlain = allowPlain.checked;
  for (const [name, input] of Object.entries(texts)) form[name as keyof typeof texts] = input.value;
  for (const [name, input] of Object.entries(switches)) form[name as keyof typeof switches] = input.checked;
  return form;
}

function writeForm(form: PolicyForm): void {
  jwks.value = form.jwks;
  for (const input of algorithms) input.checked = form.algorithms.includes(input.value as Algorithm);
  for (const [name, input] of Object.entries(texts)) input.value = form[name as keyof typeof texts];
  for (const [name, input] of Object.entries(switches)) input.checked = form[name as keyof typeof switches];
  keyBinding.value = form.keyBinding;
  setAllowPlain(form.allowPlain);
  // A setting in force is never folded away.
  if ([form.maxLifetime, form.maxAge, form.audienceClaim, form.requiredClaims, form.keyBinding, form.nonce].some((text) => text !== "")) byId<HTMLDetailsElement>("more").open = true;
  if (Object.values(switches).some((input) => input.checked)) byId<HTMLDetailsElement>("dangerous").open = true;
}

function setAllowPlain(allowed: boolean): void {
  const taken = keyBinding.value !== "";
  allowPlain.checked = allowed || !taken;
  allowPlain.disabled = !taken;
}

function restoreHints(): void {
  for (const { note, hint } of notes) setText(note, hint);
}

function openFragment(): boolean {
  const form = fromFragment(location.hash);
  if (form === undefined) return false;
  writeForm(form);
  return true;
}

async function loadExample(kind: ExampleKind): Promise<void> {
  const run = begin();
  restoreHints();
  const example = await makeExample(kind).catch((error: unknown) => {
    if (run === latest) showFailure(`There is no example here: ${sentence(error)}`);
  });
  if (example === undefined || run !== latest) return;
  token.value = example.token;
  writeForm({
    jwks: example.jwks,
    issuer: example.issuer,
    audience: example.audience,
    algorithms: ["ES256"],
    typ: "at+jwt",
    leeway: "",
    now: "",
    maxLifetime: "",
    maxAge: "",
    audienceClaim: "",
    requiredClaims: "",
    keyBinding: example.presentation ? "where_bound" : "",
    allowPlain: true,
    nonce: "",
    skipIssuer: false,
    skipAudience: false,
    allowMissingExp: false,
    allowRsaExponent3: false,
    skipNonce: false,
  });
  await judge();
}

/** The one request that the page makes, and only when it is asked to: the issuer's discovery document and its keys. */
async function fetchKeys(): Promise<void> {
  const note = byId("fetch-note");
  fetches += 1;
  const fetched = fetches;
  const before = { issuer: texts.issuer.value, jwks: jwks.value };
  setText(note, "Asking …");
  const answer = await issuersKeys(before.issuer.trim()).then((keys) => ({ keys }), (error: unknown) => ({ error }));
  if (fetched !== fetches) return;
  if (texts.issuer.value !== before.issuer || jwks.value !== before.jwks) {
    setText(note, "Issuer or JWK Set changed meanwhile; the answer was dropped.");
    return;
  }
  if ("error" in answer) {
    setText(note, visible(sentence(answer.error)));
    return;
  }
  jwks.value = answer.keys;
  setText(note, "These are its keys of now.");
  await judge();
}

async function share(): Promise<void> {
  const form = readForm();
  const { fragment, withheld, left } = toFragment(form, token.value.trim());
  const link = new URL(location.href);
  link.hash = fragment;
  history.replaceState(null, "", link);
  const copied = await navigator.clipboard.writeText(link.href).then(() => true, () => false);
  const where = copied ? "Copied." : "The address bar holds the link.";
  const out = [
    ...(withheld === undefined ? [] : [`The JWK Set stays out: ${REASONS[withheld]}.`]),
    ...left.map((name) => `The policy’s ${name} stays out: it holds a token.`),
    ...(form.nonce.trim() === "" ? [] : ["The nonce stays out: it is good for one presentation."]),
  ];
  const what = out.length > 0 ? out.join(" ") : "It carries policy and keys, never the token.";
  setText(byId("share-note"), `${where} ${what}`);
}

async function copySnippet(): Promise<void> {
  const button = byId("copy-snippet");
  const copied = await navigator.clipboard.writeText(byId("snippet").textContent ?? "").then(() => true, () => false);
  setText(button, copied ? "Copied" : "Select and copy");
  setTimeout(() => setText(button, "Copy"), 2000);
}

function showSnippet(form: PolicyForm): void {
  const block = byId("snippet");
  const show = (text: string) => {
    if (block.textContent !== text) block.replaceChildren(...inLines([text]));
  };
  try {
    show(visible(snippet(issuerOptions(form))));
  } catch (error) {
    show(visible(`// ${sentence(error)}`));
  }
}

function bringVerdictIntoView(): void {
  const { top, bottom } = byId("verdict").getBoundingClientRect();
  if (top < 0 || bottom > innerHeight) byId("result").scrollIntoView({ block: "start" });
}

// The code stands beside the sentence, so it need not stand in it.
function sentence(error: unknown): string {
  if (error instanceof VerifyError) return error.message.replace(`${error.code}: `, "");
  return error instanceof Error ? error.message : String(error);
}
