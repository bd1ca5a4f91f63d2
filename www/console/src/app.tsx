import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryClientProvider } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useRef, useState, type ReactNode } from "react";
import { Redirect, Route, Switch, useLocation } from "wouter";
import { client, useSession } from "./api/queries";
import { session } from "./api/session";
import { Boundary, notLoaded } from "./failure";
import { LanguageProvider, useWords } from "./i18n";
import { Button, Empty, Loading, Refusal } from "./kit";
import { ToastProvider } from "./kit/toasts";
import { Frame } from "./frame";

const Doors = lazy(() => import("./pages/doors").catch(notLoaded));
const Overview = lazy(() => import("./pages/overview").catch(notLoaded));
const Keys = lazy(() => import("./pages/keys").catch(notLoaded));
const KeyPage = lazy(() => import("./pages/key").catch(notLoaded));
const Profiles = lazy(() => import("./pages/profiles").catch(notLoaded));
const Agents = lazy(() => import("./pages/agents").catch(notLoaded));
const AgentPage = lazy(() => import("./pages/agent").catch(notLoaded));
const Edges = lazy(() => import("./pages/edges").catch(notLoaded));
const Activity = lazy(() => import("./pages/activity").catch(notLoaded));
const Audit = lazy(() => import("./pages/audit").catch(notLoaded));
const Report = lazy(() => import("./pages/report").catch(notLoaded));
const Users = lazy(() => import("./pages/users").catch(notLoaded));
const Account = lazy(() => import("./pages/account").catch(notLoaded));

export function App() {
  return (
    <CSPProvider disableStyleElements>
      <QueryClientProvider client={client}>
        <LanguageProvider>
          <ToastProvider>
            <Boundary around={(message) => <Alone>{message}</Alone>}>
              <Gate />
            </Boundary>
          </ToastProvider>
        </LanguageProvider>
      </QueryClientProvider>
    </CSPProvider>
  );
}

/** Where a one-time code is used. */
const CODES = ["/setup", "/invitation"];

/** Who is not logged in sees the doors, whatever the address; it stays for afterwards. */
function Gate() {
  const current = useSession();
  const [location] = useLocation();
  const [error, setError] = useState<unknown>();
  const ask = () => {
    setError(undefined);
    session.refresh().catch(setError);
  };
  useEffect(ask, []);
  const someone = current?.authenticated ? current.user?.name : undefined;
  if (error && !current) {
    return (
      <Alone>
        <Refusal error={error} retry={ask} />
      </Alone>
    );
  }
  if (!current) return <Loading />;
  // Whom a certificate names is always somebody, and may have a code all the same.
  const withCode = current.via === "certificate" && CODES.some((path) => location.startsWith(path));
  if (!current.authenticated || current.passkey_required || withCode) {
    return (
      <Suspense fallback={<Loading />}>
        <Doors />
      </Suspense>
    );
  }
  return (
    <Frame key={someone}>
      <Page>
        <Switch>
          <Route path="/" component={Overview} />
          <Route path="/keys" component={Keys} />
          <Route path="/keys/:kid">{({ kid }) => <KeyPage kid={decodeURIComponent(kid)} key={kid} />}</Route>
          <Route path="/profiles" component={Profiles} />
          <Route path="/agents" component={Agents} />
          <Route path="/agents/:name">{({ name }) => <AgentPage name={decodeURIComponent(name)} key={name} />}</Route>
          <Route path="/edges" component={Edges} />
          <Route path="/activity" component={Activity} />
          <Route path="/audit" component={Audit} />
          <Route path="/audit/report" component={Report} />
          <Route path="/users" component={Users} />
          <Route path="/account" component={Account} />
          {["/login", ...CODES].map((path) => (
            <Route key={path} path={path}>
              <Redirect to="/" replace />
            </Route>
          ))}
          <Route>
            <Nowhere />
          </Route>
        </Switch>
      </Page>
    </Frame>
  );
}

/** A message with nothing around it. */
function Alone({ children }: { children: ReactNode }) {
  return (
    <div className="door">
      <span />
      <main>{children}</main>
    </div>
  );
}

/** Puts the focus on the new page's heading, so that a screen reader begins there. */
function Page({ children }: { children: ReactNode }) {
  const [location] = useLocation();
  const before = useRef(location);
  const main = useRef<HTMLElement>(null);
  useEffect(() => {
    if (before.current === location) return;
    before.current = location;
    window.scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [location]);
  return (
    <main id="main" tabIndex={-1} ref={main}>
      <Boundary key={location}>
        <Suspense fallback={<Loading />}>{children}</Suspense>
      </Boundary>
    </main>
  );
}

function Nowhere() {
  const { t } = useWords();
  const [, go] = useLocation();
  return (
    <Empty
      whole
      title={t("nowhere.title")}
      action={
        <Button kind="primary" onClick={() => go("/")}>
          {t("nowhere.home")}
        </Button>
      }
    />
  );
}
