import { ChevronRight, History as Clock, ScrollText } from "lucide-react";
import { type FormEvent, Fragment, useState } from "react";
import { useTranslation } from "react-i18next";

import { useSession } from "../../api/session";
import { RoomField } from "../../fields";
import { isRoom, isUuid, timeOf } from "../../lib/ids";
import { useSubject } from "../../lib/subject";
import { useFormats } from "../../lib/useFormats";
import { Button, Card, CopyButton, Empty, Failure, Json, SelectField } from "../../ui";
import { useAction } from "./useAction";
import styles from "./UseView.module.css";

const COUNTS = [20, 100, 500];

interface PastEvent {
  event: string;
  data: unknown;
  offset: string;
}

interface RoomNow {
  room: string;
  members: number;
  replicas: number;
  offset: string | null;
  kept: number;
  events: PastEvent[];
}

/** What a room's log holds, and who listens. */
export function History() {
  const { t } = useTranslation("use");
  const { session, http } = useSession();
  const [{ organization, room }, change] = useSubject(session.demo);
  const [count, setCount] = useState(COUNTS[0]);
  const looking = useAction(() =>
    http.get<RoomNow>(`/api/v1/rooms/${encodeURIComponent(room)}`, { organization_id: organization, history: count }),
  );
  const canLook = isUuid(organization) && isRoom(room);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (canLook) void looking.run();
  };
  return (
    <Card title={t("history.title")} lead={t("history.lead")}>
      <form className={styles.form} onSubmit={submit} noValidate>
        <RoomField value={room} onChange={(room) => change({ room })} error={isRoom(room) ? undefined : t("badRoom")} />
        <div className={styles.actions}>
          <SelectField
            label={t("history.last")}
            value={count}
            onChange={(event) => setCount(Number(event.target.value))}
          >
            {COUNTS.map((n) => (
              <option key={n}>{n}</option>
            ))}
          </SelectField>
          <Button
            type="submit"
            className={styles.atEnd}
            icon={<Clock size={16} aria-hidden />}
            busy={looking.busy}
            disabled={!canLook}
          >
            {t("history.load")}
          </Button>
        </div>
      </form>
      {looking.error !== null && <Failure error={looking.error} />}
      {looking.found ? (
        <Found now={looking.found} />
      ) : (
        looking.error === null && (
          <Empty icon={ScrollText} title={t("history.start")}>
            {t("history.startLead")}
          </Empty>
        )
      )}
    </Card>
  );
}

function Found({ now }: { now: RoomNow }) {
  const { t } = useTranslation("use");
  const format = useFormats();
  const newest = now.offset === null ? null : timeOf(now.offset);
  return (
    <>
      <dl className={styles.facts}>
        <Fact name={t("history.kept")} value={t("history.keptHint", { count: now.kept })} />
        <Fact name={t("history.newest")} value={newest === null ? "–" : format.time(newest)} />
        <Fact name={t("history.members")} value={format.count(now.members)} />
        <Fact name={t("history.replicas")} value={format.count(now.replicas)} />
      </dl>
      {now.events.length ? (
        <Events events={now.events} />
      ) : (
        <Empty icon={ScrollText} title={t("history.none")}>
          {t("history.noneLead")}
        </Empty>
      )}
    </>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd className="numbers">{value}</dd>
    </div>
  );
}

function Events({ events }: { events: PastEvent[] }) {
  const { t } = useTranslation("use");
  const format = useFormats();
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const turn = (offset: string) => {
    const next = new Set(open);
    if (!next.delete(offset)) next.add(offset);
    setOpen(next);
  };
  return (
    <div className={styles.events} tabIndex={0} role="region" aria-label={t("history.label")}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t("history.event")}</th>
            <th scope="col">{t("history.time")}</th>
            <th scope="col">{t("history.size")}</th>
          </tr>
        </thead>
        <tbody>
          {events.toReversed().map(({ event, data, offset }) => {
            const isOpen = open.has(offset);
            const time = timeOf(offset);
            return (
              <Fragment key={offset}>
                <tr>
                  <td>
                    <button
                      type="button"
                      className={styles.expand}
                      aria-expanded={isOpen}
                      aria-label={t("history.expand", { event })}
                      onClick={() => turn(offset)}
                    >
                      <ChevronRight size={14} aria-hidden />
                      <code>{event}</code>
                    </button>
                  </td>
                  <td className="numbers">{time === null ? "–" : format.moment(time)}</td>
                  <td className="numbers">{format.bytes(new Blob([JSON.stringify(data)]).size)}</td>
                </tr>
                {isOpen && (
                  <tr>
                    <td colSpan={3} className={styles.opened}>
                      <p className={styles.offset}>
                        {t("history.offset")} <code>{offset}</code> <CopyButton text={offset} />
                      </p>
                      <Json value={data} />
                    </td>
                  </tr>
                )}
              </Fragment>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
