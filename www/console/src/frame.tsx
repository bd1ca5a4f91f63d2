// Navigation, who is here, language and theme: what stands around every page.
import { Dialog } from "@base-ui/react/dialog";
import { Menu as BaseMenu } from "@base-ui/react/menu";
import { Activity, ChevronsUpDown, FileCheck2, Globe, KeyRound, Languages, LayoutDashboard, LogOut, Menu as MenuIcon, MonitorCog, Network, ScrollText, SlidersHorizontal, UserRound, UsersRound, X } from "lucide-react";
import { useEffect, useState, type ReactNode } from "react";
import { Link, useLocation } from "wouter";
import { useMay, useResource, useSession } from "./api/queries";
import { asProblem } from "./api/problem";
import { logout, session } from "./api/session";
import { personOf, type Approval } from "./api/types";
import { LANGUAGES, useWords, type Key, type Language } from "./i18n";
import { Button, type Icon } from "./kit";
import { useTell } from "./kit/toasts";
import { applyTheme, theme, THEMES, type Theme } from "./theme";

interface Place {
  path: string;
  label: Key;
  icon: Icon;
  needs?: string;
}

const PLACES: Place[][] = [
  [
    { path: "/", label: "nav.overview", icon: LayoutDashboard },
    { path: "/keys", label: "nav.keys", icon: KeyRound },
    { path: "/profiles", label: "nav.profiles", icon: SlidersHorizontal },
    { path: "/agents", label: "nav.agents", icon: Network },
    { path: "/edges", label: "nav.edges", icon: Globe },
  ],
  [
    { path: "/activity", label: "nav.activity", icon: Activity },
    { path: "/audit", label: "nav.audit", icon: ScrollText },
    { path: "/audit/report", label: "nav.report", icon: FileCheck2 },
    { path: "/users", label: "nav.users", icon: UsersRound, needs: "GET /admin/v1/users" },
  ],
];

export function Frame({ children }: { children: ReactNode }) {
  const { t } = useWords();
  const [open, setOpen] = useState(false);
  const [location] = useLocation();
  useEffect(() => setOpen(false), [location]);
  return (
    <>
      <a className="skip" href="#main">
        {t("nav.skip")}
      </a>
      <div className="frame">
        <aside className="side">
          <SideContent />
        </aside>
        <div>
          <header className="top">
            <Dialog.Root open={open} onOpenChange={setOpen}>
              <Dialog.Trigger render={<Button kind="quiet" icon={MenuIcon} aria-label={t("nav.open")} />} />
              <Dialog.Portal>
                <Dialog.Backdrop className="backdrop" />
                <Dialog.Popup className="dialog drawer" aria-label={t("nav.label")}>
                  <div className="side-inner">
                    <SideContent />
                  </div>
                  <Dialog.Close render={<Button little kind="quiet" icon={X} aria-label={t("common.close")} />} />
                </Dialog.Popup>
              </Dialog.Portal>
            </Dialog.Root>
            <Brand />
            <span aria-hidden />
          </header>
          {children}
        </div>
      </div>
    </>
  );
}

export function Brand() {
  return (
    <Link href="/" className="brand">
      <img src="/seal.svg" alt="" />
      Edgeseal
    </Link>
  );
}

function SideContent() {
  const { t } = useWords();
  const [location] = useLocation();
  const may = useMay();
  const current = useSession();
  const approvals = useResource<{ approvals: Approval[] }>("/admin/v1/approvals", { every: 15 });
  const waiting = may("POST /admin/v1/approvals/{proposal}:approve") ? (approvals.data?.approvals.filter(({ proposer }) => personOf(proposer) !== current?.user?.name).length ?? 0) : 0;
  const here = (path: string) => (path === "/" ? location === "/" : location === path || (location.startsWith(`${path}/`) && location !== "/audit/report"));
  return (
    <>
      <Brand />
      <nav aria-label={t("nav.label")}>
        {PLACES.map((places, index) => (
          <ul className="nav-list" key={index}>
            {places
              .filter(({ needs }) => !needs || may(needs))
              .map(({ path, label, icon: Icon }) => (
                <li key={path}>
                  <Link href={path} aria-current={here(path) ? "page" : undefined}>
                    <Icon aria-hidden />
                    {t(label)}
                    {path === "/keys" && waiting > 0 && (
                      <span className="count" title={t("nav.waiting", { n: waiting })}>
                        {waiting}
                      </span>
                    )}
                  </Link>
                </li>
              ))}
          </ul>
        ))}
      </nav>
      <Who />
    </>
  );
}

function Who() {
  const { t, word, language, choose } = useWords();
  const current = useSession();
  const tell = useTell();
  const [, go] = useLocation();
  const [chosen, setChosen] = useState<Theme>(theme);
  const name = current?.user?.display_name || current?.user?.name || "";
  const leave = () =>
    logout().catch((refused: unknown) => {
      if (!session.get()?.authenticated) return;
      const { title, code } = asProblem(refused);
      tell(t("account.logout_failed"), title || word("problem", code), "bad");
    });
  return (
    <BaseMenu.Root>
      <BaseMenu.Trigger className="who" data-testid="who">
        <span className="initial" aria-hidden>
          {[...name][0]?.toUpperCase() ?? "?"}
        </span>
        <span className="name">
          <b>{name}</b>
          <span>{word("role", current?.user?.role ?? "")}</span>
        </span>
        <ChevronsUpDown size={15} className="muted" aria-hidden />
      </BaseMenu.Trigger>
      <BaseMenu.Portal>
        <BaseMenu.Positioner className="menu-place" side="top" align="start" sideOffset={8}>
          <BaseMenu.Popup className="menu">
            <BaseMenu.Item onClick={() => go("/account")}>
              <UserRound aria-hidden />
              {t("account.title")}
            </BaseMenu.Item>
            <hr />
            <BaseMenu.RadioGroup value={language} onValueChange={(value) => choose(value as Language)}>
              {Object.entries(LANGUAGES).map(([code, label]) => (
                <BaseMenu.RadioItem key={code} value={code} lang={code} closeOnClick>
                  <Languages aria-hidden />
                  {label}
                  <Chosen />
                </BaseMenu.RadioItem>
              ))}
            </BaseMenu.RadioGroup>
            <hr />
            <BaseMenu.RadioGroup
              value={chosen}
              onValueChange={(value) => {
                applyTheme(value as Theme);
                setChosen(value as Theme);
              }}
            >
              {THEMES.map((one) => (
                <BaseMenu.RadioItem key={one} value={one} closeOnClick>
                  <MonitorCog aria-hidden />
                  {word("theme", one)}
                  <Chosen />
                </BaseMenu.RadioItem>
              ))}
            </BaseMenu.RadioGroup>
            {current?.via !== "certificate" && (
              <>
                <hr />
                <BaseMenu.Item onClick={() => void leave()} data-testid="logout">
                  <LogOut aria-hidden />
                  {t("account.logout")}
                </BaseMenu.Item>
              </>
            )}
          </BaseMenu.Popup>
        </BaseMenu.Positioner>
      </BaseMenu.Portal>
    </BaseMenu.Root>
  );
}

function Chosen() {
  return (
    <BaseMenu.RadioItemIndicator className="chosen" aria-hidden>
      ✓
    </BaseMenu.RadioItemIndicator>
  );
}
