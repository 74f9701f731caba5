import { ArrowLeft, Bell, Eye, MessageCircle } from "lucide-react";
import { useCallback, useEffect } from "react";
import { useTranslation } from "react-i18next";

import { Button, classes, Empty, IconButton, Toggle } from "../../ui";
import styles from "./AgentWindow.module.css";
import type { Backend } from "./backend";
import { clock, type Message } from "./chat";
import { Composer } from "./Composer";
import { Messages } from "./Messages";
import type { Agent } from "./useAgent";

const SHOWN_MS = 8000;

export interface Person {
  user_id: string;
  name: string;
}

/** One agent's page: the inbox or the conversation, and the switch of their network. */
export function AgentWindow({ agent, colleague, backend, missed, onTook }: {
  agent: Agent;
  colleague: Person;
  backend: Backend;
  /** How many messages came while the network was cut. */
  missed: number;
  onTook: (ms: number) => void;
}) {
  const { t } = useTranslation("try");
  const { name, state, line, cutAt, notifications } = agent;
  return (
    <section className={styles.window} aria-label={t("window", { name })} data-agent={name} data-state={state}>
      <header className={styles.head}>
        <Avatar name={name} isOnline={state === "online"} />
        <div className={styles.who}>
          <h2>{name}</h2>
          <p>{cutAt === undefined ? t(`states.${state}`) : t("offline")}</p>
        </div>
        {notifications > 0 && (
          <span className={styles.bell} role="img" aria-label={t("notifications", { count: notifications })}>
            <Bell size={16} aria-hidden />
            <span aria-hidden>{notifications}</span>
          </span>
        )}
        <Colleague person={colleague} presence={presenceOf(agent, colleague)} />
        <Toggle
          label={
            <>
              {t("network")}
              <span className="visually-hidden"> {name}</span>
            </>
          }
          checked={cutAt === undefined}
          onChange={(isUp) => line.set(isUp)}
        />
      </header>
      <Banner agent={agent} missed={missed} />
      {agent.isOpen ? (
        <Conversation agent={agent} colleague={colleague} backend={backend} onTook={onTook} />
      ) : (
        <Inbox agent={agent} />
      )}
    </section>
  );
}

function Avatar({ name, isOnline }: { name: string; isOnline?: boolean }) {
  return (
    <span className={styles.avatar} data-online={isOnline} data-initial={name.slice(0, 1)} aria-hidden>
      {name.slice(0, 1)}
    </span>
  );
}

type Presence = "online" | "offline" | "unknown";

function presenceOf({ state, online }: Agent, { user_id }: Person): Presence {
  if (state !== "online") return "unknown";
  return online.has(user_id) ? "online" : "offline";
}

function Colleague({ person, presence }: { person: Person; presence: Presence }) {
  const { t } = useTranslation("try");
  const words = t(`colleague.${presence}`, { name: person.name });
  return (
    <span className={styles.colleague} data-presence={presence} role="img" aria-label={words} title={words}>
      {person.name.slice(0, 1)}
    </span>
  );
}

function Banner({ agent, missed }: { agent: Agent; missed: number }) {
  const { t } = useTranslation("try");
  const { cutAt, state, wasAway, thread, forgetAway, refusal } = agent;
  useEffect(() => {
    if (!wasAway || state !== "online") return;
    const timer = setTimeout(forgetAway, SHOWN_MS);
    return () => clearTimeout(timer);
  }, [wasAway, state, forgetAway]);
  const [tone, strong, rest] =
    cutAt !== undefined
      ? (["bad", t("offline"), t("missed", { count: missed })] as const)
      : state === "refused"
        ? (["bad", refusal === "sent_away" ? t("sentAway") : t("refused", { code: refusal ?? "" }), ""] as const)
        : state !== "online"
          ? (["warn", t("connecting"), ""] as const)
          : wasAway
            ? (["good", t("back"), t("caughtUp", { count: thread.caughtUp })] as const)
            : (["none", "", ""] as const);
  return (
    <div className={styles.banner} data-tone={tone} role="status">
      {strong && (
        <p>
          <strong>{strong}</strong>
          {rest && ` – ${rest}`}
        </p>
      )}
      {cutAt === undefined && state === "refused" && (
        <Button small onClick={agent.logIn}>
          {t("logIn")}
        </Button>
      )}
    </div>
  );
}

function Inbox({ agent }: { agent: Agent }) {
  const { t, i18n } = useTranslation("try");
  const last = agent.thread.messages.findLast(({ status }) => status !== "waiting");
  const shown = agent.preview ?? (last && { text: last.text, at: last.at });
  return (
    <div className={styles.inbox}>
      <h3>{t("inbox")}</h3>
      {/* Whoever went here with the keyboard goes on from here. */}
      <button type="button" className={styles.item} onClick={() => agent.setOpen(true)} autoFocus>
        <Avatar name={t("contact")} />
        <span className={styles.itemText}>
          <strong>{t("contact")}</strong>
          <span>{shown?.text ?? t("noneYet")}</span>
        </span>
        <span className={styles.itemAside}>
          {shown && (
            <time className="numbers" dateTime={new Date(shown.at).toISOString()}>
              {clock(shown.at, i18n.language)}
            </time>
          )}
          {agent.unread > 0 && (
            <span className={styles.unread} role="img" aria-label={t("unread", { count: agent.unread })}>
              {agent.unread}
            </span>
          )}
        </span>
      </button>
    </div>
  );
}

function Conversation({ agent, colleague, backend, onTook }: {
  agent: Agent;
  colleague: Person;
  backend: Backend;
  onTook: (ms: number) => void;
}) {
  const { t } = useTranslation("try");
  const { thread, client, id, name } = agent;
  const { took } = thread;
  const isColleague = (user: string) => user === colleague.user_id;
  const looking = agent.state === "online" && thread.viewers.some(isColleague);
  const typing = thread.typing.some(isColleague);
  const tookOf = useCallback(
    (message: Message) => {
      if (message.how !== "live") return undefined;
      const known = took.get(message.id);
      if (known !== undefined) return known;
      // Of what was published elsewhere only another clock could tell.
      const ms = backend.sincePublished(message.id);
      if (ms === undefined) return undefined;
      onTook(ms);
      took.set(message.id, ms);
      return ms;
    },
    [took, backend, onTook],
  );
  return (
    <>
      <div className={styles.about}>
        <IconButton small label={t("toInbox")} onClick={() => agent.setOpen(false)}>
          <ArrowLeft size={18} aria-hidden />
        </IconButton>
        <Avatar name={t("contact")} />
        <div className={styles.who}>
          <h3>{t("contact")}</h3>
          <p className={classes(styles.viewers, looking && styles.looking)}>
            {looking && <Eye size={14} aria-hidden />}
            {agent.state !== "online"
              ? t("whatsapp")
              : looking
                ? t("alsoLooking", { names: colleague.name })
                : t("nobodyElse")}
          </p>
        </div>
      </div>
      <Messages
        label={t("messages", { name })}
        messages={thread.messages}
        focus={agent.wasInbox}
        isMine={({ author }) => author !== null}
        nameOf={({ author }) => (author === null || author === id ? undefined : isColleague(author) ? colleague.name : t("agent"))}
        tookOf={tookOf}
        empty={<Empty icon={MessageCircle} title={t("none")}>{t("noneLead")}</Empty>}
      />
      <p className={styles.typing} aria-live="polite">
        {typing && t("typing", { names: colleague.name })}
      </p>
      <Composer
        label={t("message", { name })}
        placeholder={t(agent.state === "online" ? "placeholder" : agent.state === "refused" ? "waitingOut" : "waiting")}
        onSend={thread.write}
        onTyping={(isTyping) => (isTyping ? client.startTyping(backend.conversation) : client.stopTyping(backend.conversation))}
      />
    </>
  );
}
