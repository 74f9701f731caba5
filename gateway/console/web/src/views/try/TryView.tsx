import { BellRing, Plus, Timer } from "lucide-react";
import { useCallback, useMemo, useState, useSyncExternalStore } from "react";
import { useTranslation } from "react-i18next";

import { useSession } from "../../api/session";
import type { ViewProps } from "../../app/view";
import { Button, Notice, Segments, ViewHead } from "../../ui";
import { AgentWindow } from "./AgentWindow";
import { Backend } from "./backend";
import { newId } from "./chat";
import { shortMs } from "./Messages";
import { PhoneWindow } from "./PhoneWindow";
import styles from "./TryView.module.css";
import { type Agent, useAgent } from "./useAgent";
import { usePhone } from "./usePhone";

const NARROW = matchMedia("(width < 62rem)");
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;
const KEPT = 200;

/** Two agents and a contact, on the real client and the real gateway. `?conversation=` chooses the conversation. */
export default function TryView({ visible }: ViewProps) {
  const { t } = useTranslation("try");
  const { session } = useSession();
  const [conversation, setConversation] = useState(() => asked() ?? session.demo.conversation_id);
  const reason = !session.minting.available ? session.minting.reason : session.sockets ? undefined : "sockets";
  if (reason) return <Notice title={t("unavailable.title")}>{t(`unavailable.${reason}`)}</Notice>;
  const begin = () => {
    const id = newId();
    history.replaceState(null, "", `?conversation=${id}${location.hash}`);
    setConversation(id);
  };
  return <Stage key={conversation} conversation={conversation} visible={visible} begin={begin} />;
}

function Stage({ conversation, visible, begin }: { conversation: string; visible: boolean; begin: () => void }) {
  const { t } = useTranslation("try");
  const { session, http } = useSession();
  const backend = useMemo(() => new Backend(http, session.demo, conversation), [http, session.demo, conversation]);
  const [first, second] = session.demo.people as [Person, Person];
  const isNarrow = useSyncExternalStore(onWidth, () => NARROW.matches);
  const [part, setPart] = useState<"first" | "phone" | "second">("first");
  const isShown = (name: typeof part) => !isNarrow || part === name;
  const agents = [useAgent(first, backend), useAgent(second, backend)] as const;
  const phone = usePhone(backend, visible && isShown("phone"));
  const { took, note } = useTook();

  const missedBy = ({ id, cutAt }: Agent) =>
    cutAt === undefined ? 0 : phone.thread.messages.filter(({ author, at }) => author !== id && at > cutAt).length;
  const windowOf = (index: 0 | 1) => {
    const [agent, other] = [agents[index], agents[1 - index]!];
    const colleague = { user_id: other.id, name: other.name };
    return <AgentWindow {...{ agent, colleague, backend }} missed={missedBy(agent)} onTook={note} />;
  };
  const parts = [
    { value: "first", shown: <PartName name={first.name} count={agents[0].unread} /> },
    { value: "phone", shown: t("phone.short") },
    { value: "second", shown: <PartName name={second.name} count={agents[1].unread} /> },
  ] as const;
  return (
    <div className={styles.view}>
      <ViewHead title={t("title")} lead={t("lead")}>
        <div className={styles.actions}>
          {took.length > 0 && (
            <p className={styles.took} title={t("medianOf", { count: took.length })}>
              <Timer size={16} aria-hidden />
              {t("median")} <strong className="numbers">{shortMs(median(took))} ms</strong>
            </p>
          )}
          <Desktop agents={agents} />
          <Button small icon={<Plus size={16} aria-hidden />} onClick={begin}>
            {t("fresh")}
          </Button>
        </div>
      </ViewHead>
      {isNarrow && (
        <div className={styles.parts} data-parts>
          <Segments label={t("parts")} value={part} options={parts} onChange={setPart} />
        </div>
      )}
      <div className={styles.stage}>
        <div className={styles.part} hidden={!isShown("first")}>{windowOf(0)}</div>
        <div className={styles.part} hidden={!isShown("phone")}><PhoneWindow phone={phone} /></div>
        <div className={styles.part} hidden={!isShown("second")}>{windowOf(1)}</div>
      </div>
    </div>
  );
}

type Person = { user_id: string; name: string };

function PartName({ name, count }: { name: string; count: number }) {
  const { t } = useTranslation("try");
  return (
    <>
      {name}
      {count > 0 && (
        <span className={styles.count} role="img" aria-label={t("unread", { count })}>
          {count}
        </span>
      )}
    </>
  );
}

function Desktop({ agents }: { agents: readonly Agent[] }) {
  const { t } = useTranslation("try");
  const [answer, setAnswer] = useState<"granted" | "denied" | "unsupported">();
  const enable = async () => {
    // Also while the page is in front: nobody wants to leave it to see one.
    for (const { client } of agents) {
      const given = await client.enableNotifications({ always: true });
      setAnswer(given === "default" ? undefined : given);
    }
  };
  return (
    <>
      <Button small icon={<BellRing size={16} aria-hidden />} disabled={answer !== undefined} onClick={() => void enable()}>
        {t(answer ? `desktop.${answer}` : "desktop.enable")}
      </Button>
    </>
  );
}

function useTook() {
  const [took, setTook] = useState<readonly number[]>([]);
  const note = useCallback((ms: number) => setTook((before) => [...before.slice(1 - KEPT), ms]), []);
  return { took, note };
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((one, other) => one - other)[numbers.length >> 1] ?? 0;
}

function asked(): string | undefined {
  const wanted = new URLSearchParams(location.search).get("conversation");
  return wanted !== null && UUID.test(wanted) ? wanted : undefined;
}

function onWidth(changed: () => void): () => void {
  NARROW.addEventListener("change", changed);
  return () => NARROW.removeEventListener("change", changed);
}
