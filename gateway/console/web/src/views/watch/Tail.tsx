import { AudioLines, Eraser, Radio, Square } from "lucide-react";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";

import { useSession } from "../../api/session";
import { OrganizationField, RoomField } from "../../fields";
import { isRoom, isUuid } from "../../lib/ids";
import { useSubject } from "../../lib/subject";
import { useFormats } from "../../lib/useFormats";
import { Badge, Button, Card, Empty, Failure, Json, Notice, Toggle } from "../../ui";
import styles from "./Tail.module.css";
import { type Heard, type TailState, useTail } from "./useTail";

/** What is published to a room, as it goes by. */
export function Tail() {
  const { t } = useTranslation("watch");
  const { session } = useSession();
  const [subject, change] = useSubject(session.demo);
  const [payload, setPayload] = useState(false);
  const [isChecked, setChecked] = useState(false);
  const { tail, follow, stop, clear } = useTail();
  const isOn = tail.state === "connecting" || tail.state === "following";
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setChecked(true);
    if (isOn) stop();
    else if (isUuid(subject.organization) && isRoom(subject.room)) follow({ ...subject, payload });
  };
  const turn = (wanted: boolean) => {
    setPayload(wanted);
    if (isOn) follow({ ...subject, payload: wanted });
  };
  return (
    <Card title={t("tail.title")} lead={t("tail.lead")} actions={<State tail={tail} />}>
      <form className={styles.form} onSubmit={submit} noValidate>
        <OrganizationField
          value={subject.organization}
          onChange={(organization) => change({ organization })}
          error={isChecked && !isUuid(subject.organization) ? t("tail.badOrganization") : undefined}
          disabled={isOn}
        />
        <RoomField
          value={subject.room}
          onChange={(room) => change({ room })}
          error={isChecked && !isRoom(subject.room) ? t("tail.badRoom") : undefined}
          disabled={isOn}
        />
        <div className={styles.actions}>
          <Button
            type="submit"
            tone={isOn ? "plain" : "primary"}
            icon={isOn ? <Square size={14} aria-hidden /> : <Radio size={16} aria-hidden />}
          >
            {isOn ? t("tail.stop") : t("tail.follow")}
          </Button>
          <Toggle label={t("tail.payload")} checked={payload} onChange={turn} />
          {tail.heard.length > 0 && (
            <Button small tone="quiet" icon={<Eraser size={14} aria-hidden />} onClick={clear}>
              {t("tail.clear")}
            </Button>
          )}
        </div>
      </form>
      {tail.error !== null && <Failure error={tail.error} />}
      {tail.why !== null && <Notice tone="warn">{t(`tail.${tail.why}`)}</Notice>}
      {tail.skipped > 0 && <Notice tone="warn">{t("tail.skipped", { count: tail.skipped })}</Notice>}
      <Lines tail={tail} isOn={isOn} />
    </Card>
  );
}

function State({ tail }: { tail: TailState }) {
  const { t } = useTranslation("watch");
  if (tail.state === "idle") return null;
  const tone = tail.state === "following" ? "good" : tail.state === "ended" ? "bad" : "warn";
  return (
    <Badge dot tone={tone}>
      {t(`tail.${tail.state}`)}
    </Badge>
  );
}

function Lines({ tail, isOn }: { tail: TailState; isOn: boolean }) {
  const { t } = useTranslation("watch");
  if (tail.heard.length) {
    return (
      <ol className={styles.lines} aria-label={t("tail.listLabel")} tabIndex={0}>
        {tail.heard.map((heard) => (
          <Line key={heard.id} heard={heard} />
        ))}
      </ol>
    );
  }
  if (tail.state === "ended") return null;
  return isOn ? (
    <Empty icon={AudioLines} title={t("tail.quiet")}>
      {t("tail.quietLead")}
    </Empty>
  ) : (
    <Empty icon={Radio} title={t("tail.none")}>
      {t("tail.noneLead")}
    </Empty>
  );
}

const TONES = { event: "accent", ephemeral: "plain", control: "warn", unknown: "bad" } as const;

function Line({ heard }: { heard: Heard }) {
  const { t } = useTranslation("watch");
  const format = useFormats();
  if (heard.type === "malformed") {
    return (
      <li className={styles.line}>
        <Badge tone="bad">{t("tail.malformed")}</Badge>
        <span className={styles.size}>{format.bytes(heard.bytes)}</span>
      </li>
    );
  }
  return (
    <li className={styles.line}>
      <time className={styles.time} dateTime={new Date(heard.at).toISOString()}>
        {format.moment(heard.at)}
      </time>
      <Badge tone={TONES[heard.kind]}>{t(`tail.kinds.${heard.kind}`)}</Badge>
      <code className={styles.event}>{heard.event}</code>
      <span className={styles.size}>{format.bytes(heard.bytes)}</span>
      <code className={styles.offset}>{heard.offset}</code>
      {heard.data !== undefined && <Json dense value={heard.data} className={styles.data ?? ""} />}
    </li>
  );
}
