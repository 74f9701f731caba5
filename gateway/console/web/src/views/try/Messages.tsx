import { Check, CheckCheck, CircleAlert, Clock } from "lucide-react";
import { useEffect, useLayoutEffect, useRef, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { classes } from "../../ui";
import { clock, type Message, type Status } from "./chat";
import styles from "./Messages.module.css";
import { useBottom } from "./useBottom";

const TICKS: Record<Status, typeof Check> = {
  waiting: Clock,
  sent: Check,
  delivered: CheckCheck,
  read: CheckCheck,
  failed: CircleAlert,
};

/** Messages of a conversation, at the newest; new ones are said aloud. */
export function Messages({ label, messages, focus = false, isMine, nameOf, tookOf, empty }: {
  label: string;
  messages: readonly Message[];
  /** Whether the keyboard goes on here. */
  focus?: boolean;
  /** On the right side, with ticks. */
  isMine: (message: Message) => boolean;
  /** Above what somebody else wrote on the same side. */
  nameOf: (message: Message) => string | undefined;
  /** In milliseconds; asked once a message is on the screen. */
  tookOf?: (message: Message) => number | undefined;
  empty: ReactNode;
}) {
  const box = useRef<HTMLDivElement>(null);
  useBottom(box, messages);
  useEffect(() => {
    if (focus) box.current?.focus();
  }, [focus]);
  return (
    <div className={styles.log} role="log" aria-live="polite" aria-label={label} tabIndex={0} ref={box}>
      {messages.length === 0 && empty}
      {messages.map((message) => (
        <Bubble key={message.id} message={message} isMine={isMine(message)} name={nameOf(message)} tookOf={tookOf} />
      ))}
    </div>
  );
}

function Bubble({ message, isMine, name, tookOf }: {
  message: Message;
  isMine: boolean;
  name: string | undefined;
  tookOf: ((message: Message) => number | undefined) | undefined;
}) {
  const { t, i18n } = useTranslation("try");
  const [took, setTook] = useState<number>();
  // Once it is in the document, before it is painted.
  useLayoutEffect(() => setTook(tookOf?.(message)), [message, tookOf]);
  const { id, text, status, how, at } = message;
  return (
    <div className={classes(styles.bubble, isMine && styles.mine)} data-message={id} data-how={how}>
      {name !== undefined && <span className={styles.name}>{name}</span>}
      <span className={styles.text}>{text}</span>
      <span className={styles.about}>
        {how === "missed" && (
          <span className={styles.missed} title={t("caughtLong")}>
            {t("caught")}
          </span>
        )}
        {took !== undefined && (
          <span className="numbers" data-took={took} title={t("took", { ms: shortMs(took) })}>
            {shortMs(took)} ms
          </span>
        )}
        {Number.isFinite(at) && (
          <time className="numbers" dateTime={new Date(at).toISOString()}>
            {clock(at, i18n.language)}
          </time>
        )}
        {isMine && <Ticks status={status} />}
      </span>
    </div>
  );
}

function Ticks({ status }: { status: Status }) {
  const { t } = useTranslation("try");
  const Icon = TICKS[status];
  return (
    <span className={styles.ticks} data-status={status} role="img" aria-label={t(`status.${status}`)} title={t(`status.${status}`)}>
      <Icon size={15} aria-hidden />
    </span>
  );
}

export function shortMs(ms: number): string {
  return ms < 10 ? ms.toFixed(1) : ms.toFixed(0);
}
