import * as Tabs from "@radix-ui/react-tabs";
import * as Tooltip from "@radix-ui/react-tooltip";
import { CloudOff, KeyRound, Monitor, Moon, Sun } from "lucide-react";
import { Suspense, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";

import { type Entry, SessionProvider, useEntry } from "../api/session";
import { changeLanguage, type Language, LANGUAGES } from "../i18n";
import { Badge, Empty, IconButton, Segments, Spinner } from "../ui";
import styles from "./App.module.css";
import { Guard } from "./Guard";
import { KeyForm } from "./KeyForm";
import { changeTheme, useTheme } from "./theme";
import { type ViewId, viewOf, VIEWS } from "./views";

export function App() {
  return (
    <Tooltip.Provider delayDuration={400}>
      <SessionProvider>
        <Shell />
      </SessionProvider>
    </Tooltip.Provider>
  );
}

function Shell() {
  const { t, i18n } = useTranslation();
  const entry = useEntry();
  const [view, setView] = useView(entry.state === "open" && !entry.session.minting.available ? "watch" : "try");
  useEffect(() => {
    document.title = `${t(`views.${view}`)} · ${t("title")}`;
  }, [view, t, i18n.language]);
  return (
    <Tabs.Root className={styles.shell} value={view} onValueChange={(wanted) => setView(wanted as ViewId)}>
      <a className={styles.skip} href="#content" onClick={skip}>
        {t("skip")}
      </a>
      <header className={styles.bar}>
        <div className={styles.brand}>
          <img src={`${import.meta.env.BASE_URL}mark.svg`} alt="" width={28} height={28} />
          <h1 className={styles.name}>{t("title")}</h1>
          {entry.state === "open" && entry.session.mode === "dev" && <Badge tone="accent">{t("mode.dev")}</Badge>}
        </div>
        {entry.state === "open" && (
          <Tabs.List className={styles.tabs} aria-label={t("views.label")}>
            {VIEWS.map(({ id, icon: Icon }) => (
              <Tabs.Trigger key={id} value={id} className={styles.tab}>
                <Icon size={16} aria-hidden />
                {t(`views.${id}`)}
              </Tabs.Trigger>
            ))}
          </Tabs.List>
        )}
        <Controls entry={entry} />
      </header>
      <main id="content" className={styles.main} tabIndex={-1}>
        <Content entry={entry} view={view} />
      </main>
    </Tabs.Root>
  );
}

function Content({ entry, view }: { entry: Entry; view: ViewId }) {
  const { t } = useTranslation();
  const seen = useSeen(view);
  if (entry.state === "key") return <KeyForm {...entry} />;
  if (entry.state === "offline")
    return (
      <Empty icon={CloudOff} title={t("errors.offline")}>
        {t("errors.offlineLead")}
      </Empty>
    );
  if (entry.state === "loading") return <Loading />;
  // A view that was opened once goes on being there: its sockets and charts are not lost.
  return VIEWS.map(({ id, Body }) => (
    <Tabs.Content key={id} value={id} forceMount hidden={id !== view} className={styles.view} tabIndex={-1}>
      {seen.has(id) && (
        <Guard>
          <Suspense fallback={<Loading />}>
            <Body visible={id === view} />
          </Suspense>
        </Guard>
      )}
    </Tabs.Content>
  ));
}

function Loading() {
  const { t } = useTranslation();
  return (
    <div className={styles.loading} role="status">
      <Spinner size={24} />
      <span className="visually-hidden">{t("loading")}</span>
    </div>
  );
}

function Controls({ entry }: { entry: Entry }) {
  const { t, i18n } = useTranslation();
  const theme = useTheme();
  const themes = [
    { value: "light", shown: <Sun size={16} aria-hidden />, name: t("theme.light") },
    { value: "dark", shown: <Moon size={16} aria-hidden />, name: t("theme.dark") },
    { value: "system", shown: <Monitor size={16} aria-hidden />, name: t("theme.system") },
  ] as const;
  const languages = Object.entries(LANGUAGES).map(([value, name]) => ({
    value: value as Language,
    shown: <span lang={value}>{value.slice(0, 2).toUpperCase()}</span>,
    name,
  }));
  return (
    <div className={styles.controls}>
      <Segments label={t("language")} value={i18n.language as Language} options={languages} onChange={changeLanguage} />
      <Segments label={t("theme.label")} value={theme} options={themes} onChange={changeTheme} />
      {entry.state === "open" && entry.leave && (
        <IconButton label={t("key.forget")} onClick={entry.leave}>
          <KeyRound size={18} aria-hidden />
        </IconButton>
      )}
    </div>
  );
}

/** Go to the content without losing the view, which is what stands behind `#`. */
function skip(event: { preventDefault(): void }): void {
  event.preventDefault();
  document.getElementById("content")?.focus();
}

/** The view in the address, which the back button knows. */
function useView(first: ViewId): [ViewId, (view: ViewId) => void] {
  const [view, setView] = useState(() => viewOf(location.hash));
  useEffect(() => {
    const follow = () => setView(viewOf(location.hash));
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return [view ?? first, (wanted) => void (location.hash = `#/${wanted}`)];
}

function useSeen(view: ViewId): ReadonlySet<ViewId> {
  const [seen, setSeen] = useState<ReadonlySet<ViewId>>(new Set([view]));
  if (!seen.has(view)) setSeen(new Set([...seen, view]));
  return seen;
}
