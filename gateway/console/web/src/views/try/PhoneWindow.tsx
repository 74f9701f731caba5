import { Layers, Lock, MessageCircle, PowerOff } from "lucide-react";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";

import { Button, Empty, Segments } from "../../ui";
import { clock } from "./chat";
import { Composer } from "./Composer";
import { Messages } from "./Messages";
import styles from "./PhoneWindow.module.css";
import type { Phone, PhoneState } from "./usePhone";

const SHOWN = 3;

/** The contact's phone: off, in the pocket, or open. */
export function PhoneWindow({ phone }: { phone: Phone }) {
  const { t } = useTranslation("try");
  const states: { value: PhoneState; shown: string }[] = [
    { value: "off", shown: t("phone.off") },
    { value: "locked", shown: t("phone.locked") },
    { value: "open", shown: t("phone.open") },
  ];
  return (
    <section className={styles.part} aria-label={t("phone.label")} data-phone={phone.state}>
      <Segments label={t("phone.state")} value={phone.state} options={states} onChange={phone.setState} />
      <div className={styles.device}>
        <div className={styles.screen} data-state={phone.state}>
          {phone.state === "off" ? <Off /> : phone.state === "locked" ? <Locked phone={phone} /> : <Open phone={phone} />}
        </div>
      </div>
    </section>
  );
}

function Off() {
  const { t } = useTranslation("try");
  return (
    <div className={styles.off}>
      <PowerOff size={28} strokeWidth={1.5} aria-hidden />
      <p>{t("phone.offLead")}</p>
    </div>
  );
}

function Locked({ phone }: { phone: Phone }) {
  const { t, i18n } = useTranslation("try");
  const now = useMinute();
  const fresh = phone.thread.messages.filter(({ author, status }) => author !== null && status !== "read");
  return (
    <div className={styles.locked}>
      <Lock size={16} aria-hidden />
      <time className={styles.clock}>{clock(now, i18n.language)}</time>
      <p>{now.toLocaleDateString(i18n.language, { weekday: "long", day: "numeric", month: "long" })}</p>
      {fresh.length > 0 && (
        <div className={styles.cards}>
          <p role="status">{t("phone.new", { count: fresh.length })}</p>
          {fresh.slice(-SHOWN).map(({ id, text }) => (
            <div key={id} className={styles.card}>
              <strong>{t("phone.company")}</strong>
              <span>{text}</span>
            </div>
          ))}
          <p className={styles.lead}>{t("phone.lockedLead")}</p>
        </div>
      )}
    </div>
  );
}

function Open({ phone }: { phone: Phone }) {
  const { t } = useTranslation("try");
  const { thread } = phone;
  const phrases = t("quick", { returnObjects: true });
  const five = t("five", { returnObjects: true });
  return (
    <div className={styles.open}>
      <header className={styles.chat}>
        <span className={styles.face} aria-hidden>
          <MessageCircle size={18} />
        </span>
        <div>
          <h2>{t("phone.company")}</h2>
          <p>{t("whatsapp")}</p>
        </div>
      </header>
      <Messages
        label={t("phone.messages")}
        messages={thread.messages}
        isMine={({ author }) => author === null}
        nameOf={() => undefined}
        empty={<Empty icon={MessageCircle} title={t("none")} />}
      />
      <div className={styles.quick}>
        <Button small icon={<Layers size={14} aria-hidden />} onClick={() => five.forEach(thread.write)}>
          {t("phone.many")}
        </Button>
        {phrases.map((phrase) => (
          <Button key={phrase} small onClick={() => thread.write(phrase)}>
            {phrase}
          </Button>
        ))}
      </div>
      <Composer label={t("phone.message")} placeholder={t("phone.placeholder")} onSend={thread.write} />
    </div>
  );
}

function useMinute(): Date {
  const [now, setNow] = useState(() => new Date());
  useEffect(() => {
    const timer = setInterval(() => setNow(new Date()), 10_000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
