// The parts that pages are made of: Base UI's behaviour (focus, keys, roles) in the house's clothes.
import { AlertDialog } from "@base-ui/react/alert-dialog";
import { Dialog as BaseDialog } from "@base-ui/react/dialog";
import { Menu as BaseMenu } from "@base-ui/react/menu";
import { Tabs as BaseTabs } from "@base-ui/react/tabs";
import { Check, CircleAlert, CircleCheck, Copy, Info, TriangleAlert, X } from "lucide-react";
import { Fragment, useEffect, useId, useRef, useState, useSyncExternalStore, type ButtonHTMLAttributes, type ChangeEvent, type ComponentType, type CSSProperties, type FormEvent, type InputHTMLAttributes, type ReactElement, type ReactNode, type SelectHTMLAttributes, type TextareaHTMLAttributes } from "react";
import { asProblem } from "../api/problem";
import { session } from "../api/session";
import { useWords, type Key } from "../i18n";

export type Tone = "plain" | "good" | "warn" | "bad" | "info";
export type Icon = ComponentType<{ "aria-hidden"?: boolean; className?: string }>;

const ICONS: Record<Tone, Icon> = { plain: Info, good: CircleCheck, warn: TriangleAlert, bad: CircleAlert, info: Info };

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: "primary" | "danger" | "danger filled" | "quiet" | undefined;
  little?: boolean;
  icon?: Icon | undefined;
  /** Says that it is at work; it cannot be pressed again meanwhile. */
  busy?: boolean;
}

export function Button({ kind, little, icon: Icon, busy, children, className = "", disabled, onClick, ...more }: ButtonProps) {
  const { t } = useWords();
  const passkeyAwaited = useSyncExternalStore(session.subscribe, session.passkeyAwaited);
  const classes = ["button", kind, little && "little", !children && "icon-only", className].filter(Boolean).join(" ");
  return (
    <button type="button" {...more} className={classes} disabled={disabled} aria-disabled={busy || undefined} onClick={busy ? (event) => event.preventDefault() : onClick}>
      {busy ? <span className="spinner" aria-hidden /> : Icon && <Icon aria-hidden />}
      {busy && passkeyAwaited ? t("common.passkey_awaited") : children}
    </button>
  );
}

export function Badge({ tone = "plain", hollow, children }: { tone?: Tone; hollow?: boolean; children: ReactNode }) {
  return <span className={`badge ${tone}${hollow ? " hollow" : ""}`}>{children}</span>;
}

export function Chip({ children }: { children: ReactNode }) {
  return <span className="chip">{children}</span>;
}

export function Chips({ items, none = "–" }: { items: readonly string[] | null | undefined; none?: ReactNode }) {
  if (!items?.length) return <span className="muted">{none}</span>;
  return (
    <span className="chips">
      {items.map((item) => (
        <Chip key={item}>
          <Path>{item}</Path>
        </Chip>
      ))}
    </span>
  );
}

/** An address or a path, which may end its line after a slash rather than in the middle of a word. */
export function Path({ children }: { children: string }) {
  return children.match(/[^/]+\/*|\/+/g)?.map((part, index) => (
    <Fragment key={index}>
      {part}
      <wbr />
    </Fragment>
  ));
}

export function Panel({ title, note, aside, children, flush, className = "", id }: { title?: ReactNode; note?: ReactNode; aside?: ReactNode; children: ReactNode; flush?: boolean; className?: string; id?: string }) {
  const heading = useId();
  return (
    <section className={`panel ${className}`} aria-labelledby={title ? heading : undefined} id={id}>
      {title && (
        <header>
          <h2 id={heading}>{title}</h2>
          {note && <p>{note}</p>}
          {aside}
        </header>
      )}
      <div className={`body${flush ? " flush" : ""}`}>{children}</div>
    </section>
  );
}

export function PageHead({ title, lead, children }: { title: string; lead?: ReactNode; children?: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Edgeseal`;
  }, [title]);
  return (
    <div className="page-head">
      <div>
        <h1 tabIndex={-1} id="page-title">
          {title}
        </h1>
        {lead && <p className="lead">{lead}</p>}
      </div>
      {children && <div className="actions">{children}</div>}
    </div>
  );
}

/** A text whose `commands and names` are set as such. */
export function Marked({ text }: { text: string }) {
  return <>{text.split("`").map((part, index) => (index % 2 ? <code key={index}>{part}</code> : part))}</>;
}

export function Notice({ tone = "info", title, children, aside, role }: { tone?: Tone; title?: ReactNode; children?: ReactNode; aside?: ReactNode; role?: "alert" | "status" }) {
  const Icon = ICONS[tone];
  return (
    <div className={`notice ${tone}`} role={role}>
      <Icon aria-hidden />
      <div>
        {title && <strong>{title}</strong>}
        {children}
      </div>
      {aside && <div className="aside">{aside}</div>}
    </div>
  );
}

/** A refusal with all that the signer said of it, and what to do. */
export function Refusal({ error, retry }: { error: unknown; retry?: () => void }) {
  const { t, word } = useWords();
  if (!error) return null;
  const { title, detail, code, request_id: request } = asProblem(error);
  const mend = word("mend", code);
  const known = mend !== code.replaceAll("_", " ");
  return (
    <Notice
      tone="bad"
      role="alert"
      title={title || word("problem", code)}
      aside={
        retry && (
          <Button little onClick={retry}>
            {t("common.retry")}
          </Button>
        )
      }
    >
      {detail && <p data-testid="problem-detail">{detail}</p>}
      {known && (
        <p>
          <Marked text={mend} />
        </p>
      )}
      <p className="fine">
        <code data-testid="problem-code">{code}</code>
        {request && (
          <>
            {" · "}
            {t("common.request")} <code>{request}</code>
          </>
        )}
      </p>
    </Notice>
  );
}

export function Loading({ label }: { label?: string }) {
  const { t } = useWords();
  return (
    <div className="skeleton" role="status" aria-label={label ?? t("common.loading")}>
      <span />
      <span />
      <span />
    </div>
  );
}

export function Empty({ icon: Icon, title, children, action, whole }: { icon?: Icon; title: string; children?: ReactNode; action?: ReactNode; /** It is all that the page has to say. */ whole?: boolean }) {
  const Heading = whole ? "h1" : "p";
  return (
    <div className="empty">
      {Icon && <Icon aria-hidden />}
      <Heading className="empty-title">{title}</Heading>
      {children && <p>{children}</p>}
      {action}
    </div>
  );
}

interface FieldProps {
  label: ReactNode;
  hint?: ReactNode;
  wrong?: string | undefined;
}

export function TextField({ label, hint, wrong, mono, ...input }: FieldProps & { mono?: boolean } & InputHTMLAttributes<HTMLInputElement>) {
  const { t } = useWords();
  const own = useId();
  const id = input.id ?? own;
  const [unfit, setUnfit] = useState<string>();
  // Said at the field and in the console's language, not in a bubble of the browser's.
  const sayUnfit = (event: FormEvent<HTMLInputElement>) => {
    event.preventDefault();
    const { validity, form } = event.currentTarget;
    setUnfit(t(validity.valueMissing ? "common.wrong.needed" : "common.wrong.unfit"));
    if (form?.querySelector("input:invalid") === event.currentTarget) event.currentTarget.focus();
  };
  const change = (event: ChangeEvent<HTMLInputElement>) => {
    setUnfit(undefined);
    input.onChange?.(event);
  };
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input autoComplete="off" spellCheck={false} {...input} onChange={change} onInvalid={sayUnfit} id={id} className={`input${mono ? " mono" : ""}`} {...described(id, hint, wrong ?? unfit)} />
      <Hints id={id} hint={hint} wrong={wrong ?? unfit} />
    </div>
  );
}

export function TextArea({ label, hint, wrong, ...input }: FieldProps & TextareaHTMLAttributes<HTMLTextAreaElement>) {
  const own = useId();
  const id = input.id ?? own;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <textarea spellCheck={false} {...input} id={id} className="input" {...described(id, hint, wrong)} />
      <Hints id={id} hint={hint} wrong={wrong} />
    </div>
  );
}

export function Choice({ label, hint, wrong, children, ...input }: FieldProps & SelectHTMLAttributes<HTMLSelectElement>) {
  const own = useId();
  const id = input.id ?? own;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select {...input} id={id} className="input" {...described(id, hint, wrong)}>
        {children}
      </select>
      <Hints id={id} hint={hint} wrong={wrong} />
    </div>
  );
}

export function CheckBox({ label, hint, ...input }: { label: ReactNode; hint?: ReactNode } & InputHTMLAttributes<HTMLInputElement>) {
  const own = useId();
  const id = input.id ?? own;
  return (
    <div className="check">
      <input type="checkbox" {...input} id={id} aria-describedby={hint ? `${id}-hint` : undefined} />
      <label htmlFor={id}>{label}</label>
      {hint && (
        <span className="hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
    </div>
  );
}

function described(id: string, hint: ReactNode, wrong: string | undefined) {
  const ids = [wrong && `${id}-wrong`, hint && `${id}-hint`].filter(Boolean).join(" ");
  return { "aria-invalid": wrong ? true : undefined, "aria-describedby": ids || undefined };
}

function Hints({ id, hint, wrong }: { id: string; hint: ReactNode; wrong: string | undefined }) {
  return (
    <>
      {wrong && (
        <span className="wrong" id={`${id}-wrong`}>
          {wrong}
        </span>
      )}
      {hint && (
        <span className="hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
    </>
  );
}

export function CopyButton({ text, label }: { text: string; label?: string }) {
  const { t } = useWords();
  const [copied, setCopied] = useState(false);
  const timer = useRef<number>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  async function copy() {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => setCopied(false), 1_800);
  }
  return (
    <>
      <Button little kind="quiet" icon={copied ? Check : Copy} onClick={() => void copy()} aria-label={label ?? t("common.copy")} title={label ?? t("common.copy")} />
      <span className="visually-hidden" role="status">
        {copied ? t("common.copied") : ""}
      </span>
    </>
  );
}

export function CodeBlock({ text, label, testId, packed }: { text: string; label: string; testId?: string; /** Long values, which may break anywhere. */ packed?: boolean }) {
  const { t } = useWords();
  return (
    <div className={`code-block${packed ? " packed" : ""}`}>
      <pre tabIndex={0} role="group" aria-label={label} data-testid={testId}>
        {text.split("\n").map((line, index) => (
          <Fragment key={index}>
            {index > 0 && "\n"}
            <span className="line" style={{ "--indent": `${/^ */.exec(line)?.[0].length ?? 0}ch` } as CSSProperties}>
              {line}
            </span>
          </Fragment>
        ))}
      </pre>
      <CopyButton text={text} label={t("common.copy_what", { what: label })} />
    </div>
  );
}

/** The beginning and the end of a long name; the whole of it for screen readers and in the title. */
export function Short({ text, head = 6, tail = 4 }: { text: string; head?: number; tail?: number }) {
  if (text.length <= head + tail + 1) return <code>{text}</code>;
  return (
    <code title={text}>
      <span aria-hidden>
        {text.slice(0, head)}…{text.slice(-tail)}
      </span>
      <span className="visually-hidden">{text}</span>
    </code>
  );
}

export function Dialog({ open, onClose, title, lead, wide, busy, children }: { open: boolean; onClose: () => void; title: string; lead?: ReactNode; wide?: boolean; /** A request is under way: what it does is seen here, so the dialog stays. */ busy?: boolean; children: ReactNode }) {
  const { t } = useWords();
  return (
    <BaseDialog.Root open={open} onOpenChange={(next) => next || busy || onClose()} disablePointerDismissal>
      <BaseDialog.Portal>
        <BaseDialog.Backdrop className="backdrop" />
        <BaseDialog.Popup className={`dialog${wide ? " wide" : ""}`}>
          <div className="dialog-head">
            <BaseDialog.Title>{title}</BaseDialog.Title>
            <BaseDialog.Close className="button quiet little icon-only" aria-label={t("common.close")} disabled={busy}>
              <X aria-hidden />
            </BaseDialog.Close>
          </div>
          {lead && <BaseDialog.Description className="lead">{lead}</BaseDialog.Description>}
          {children}
        </BaseDialog.Popup>
      </BaseDialog.Portal>
    </BaseDialog.Root>
  );
}

interface ConfirmProps {
  open: boolean;
  onClose: () => void;
  /** Instead of `onClose` when it was called off. */
  onCancel?: () => void;
  title: string;
  lead?: ReactNode;
  /** What will happen, a sentence each. */
  will: ReactNode[];
  confirm: string;
  danger?: boolean;
  /** The signer will ask for the passkey again. */
  passkey?: boolean;
  run: () => Promise<unknown>;
  children?: ReactNode;
  disabled?: boolean;
}

/** Names what will be done, does it, and stays with the reason when it is refused. */
export function Confirm({ open, onClose, onCancel = onClose, title, lead, will, confirm, danger, passkey, run, children, disabled }: ConfirmProps) {
  const { t } = useWords();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    if (open) setError(undefined);
  }, [open]);
  async function go() {
    setBusy(true);
    setError(undefined);
    try {
      await run();
      onClose();
    } catch (refused) {
      setError(refused);
    } finally {
      setBusy(false);
    }
  }
  return (
    <AlertDialog.Root open={open} onOpenChange={(next) => next || busy || onCancel()}>
      <AlertDialog.Portal>
        <AlertDialog.Backdrop className="backdrop" />
        <AlertDialog.Popup className="dialog">
          <AlertDialog.Title>{title}</AlertDialog.Title>
          {lead && <AlertDialog.Description className="lead">{lead}</AlertDialog.Description>}
          <form
            className="form"
            onSubmit={(event) => {
              event.preventDefault();
              void go();
            }}
          >
            <ul className="will">
              {will.map((sentence, index) => (
                <li key={index}>{sentence}</li>
              ))}
            </ul>
            {children}
            {passkey && <p className="small muted">{t("common.passkey_will_be_asked")}</p>}
            <Refusal error={error} />
            <div className="actions end">
              <Button onClick={onCancel} disabled={busy}>
                {t("common.cancel")}
              </Button>
              <Button type="submit" kind={danger ? "danger filled" : "primary"} busy={busy} disabled={disabled} data-testid="confirm">
                {confirm}
              </Button>
            </div>
          </form>
        </AlertDialog.Popup>
      </AlertDialog.Portal>
    </AlertDialog.Root>
  );
}

export interface MenuEntry {
  label: string;
  icon?: Icon;
  danger?: boolean;
  run: () => void;
}

export function Menu({ trigger, entries, label }: { trigger: ReactElement; entries: (MenuEntry | "line")[]; label?: string }) {
  return (
    <BaseMenu.Root>
      <BaseMenu.Trigger render={trigger} aria-label={label} />
      <BaseMenu.Portal container={document.getElementById("main")}>
        <BaseMenu.Positioner className="menu-place" align="end" sideOffset={6}>
          <BaseMenu.Popup className="menu">
            {entries.map((entry, index) => {
              if (entry === "line") return <hr key={index} />;
              const { icon: Icon } = entry;
              return (
                <BaseMenu.Item key={index} className={entry.danger ? "danger" : ""} onClick={entry.run}>
                  {Icon && <Icon aria-hidden />}
                  {entry.label}
                </BaseMenu.Item>
              );
            })}
          </BaseMenu.Popup>
        </BaseMenu.Positioner>
      </BaseMenu.Portal>
    </BaseMenu.Root>
  );
}

export function Tabs({ tabs, label }: { tabs: { key: string; label: string; content: ReactNode }[]; label: string }) {
  return (
    <BaseTabs.Root className="tabs" defaultValue={tabs[0]?.key}>
      <BaseTabs.List aria-label={label}>
        {tabs.map(({ key, label }) => (
          <BaseTabs.Tab key={key} value={key}>
            {label}
          </BaseTabs.Tab>
        ))}
      </BaseTabs.List>
      {tabs.map(({ key, content }) => (
        <BaseTabs.Panel key={key} value={key}>
          {content}
        </BaseTabs.Panel>
      ))}
    </BaseTabs.Root>
  );
}

export function Facts({ rows, look = "" }: { rows: [string, ReactNode][]; look?: "" | "wide" | "wide attributes" }) {
  return (
    <dl className={`facts ${look}`}>
      {rows.map(([name, value]) => (
        <FactRow key={name} name={name} value={value} />
      ))}
    </dl>
  );
}

function FactRow({ name, value }: { name: string; value: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{value ?? "–"}</dd>
    </>
  );
}

export interface Column<Row> {
  head: Key;
  cell: (row: Row) => ReactNode;
  end?: boolean;
}

/** A table that becomes a list of cards where there is no room for it. */
export function Table<Row>({ label, columns, rows, keyOf, rowTestId }: { label: string; columns: Column<Row>[]; rows: Row[]; keyOf: (row: Row) => string; rowTestId?: (row: Row) => string }) {
  const { t } = useWords();
  return (
    <div className="table-wrap" tabIndex={0} role="group" aria-label={label}>
      <table className="table stacked">
        <thead>
          <tr>
            {columns.map(({ head, end }) => (
              <th key={head} scope="col" className={end ? "end" : undefined}>
                {t(head)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)} data-testid={rowTestId?.(row)}>
              {columns.map(({ head, cell, end }, index) =>
                index === 0 ? (
                  <th key={head} scope="row">
                    {cell(row)}
                  </th>
                ) : (
                  <td key={head} data-label={t(head)} className={end ? "end" : undefined}>
                    {cell(row)}
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
