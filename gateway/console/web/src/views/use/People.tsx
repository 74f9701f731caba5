import { RefreshCw, UserRoundX, Users } from "lucide-react";
import { type FormEvent, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";

import { useSession } from "../../api/session";
import { CUSTOMER } from "../../lib/demo";
import { isUser, isUuid } from "../../lib/ids";
import { useSubject } from "../../lib/subject";
import { Badge, Button, Card, Dialog, Empty, Failure, IconButton, Notice, TextField } from "../../ui";
import { useAction } from "./useAction";
import styles from "./UseView.module.css";

const MOST = 100;

/** Who is online in the organization, and the door. */
export function People({ visible }: { visible: boolean }) {
  const { t } = useTranslation("use");
  const { session, http } = useSession();
  const [{ organization }] = useSubject(session.demo);
  const [typed, setTyped] = useState("");
  const [asked, setAsked] = useState<string | null>(null);
  const looking = useAction(async () => {
    const query = { organization_id: organization };
    return (await http.get<{ online: string[] }>("/api/v1/presence", query)).online;
  });
  const ending = useAction(async (user_id: string) => {
    await http.post("/api/v1/disconnect", { organization_id: organization, user_id });
    return user_id;
  });
  const { run, forget } = looking;
  // Once for each organization that is looked at, and afterwards when asked to.
  useEffect(() => {
    if (visible && isUuid(organization)) void run();
    else forget();
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [visible, organization, forget]);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isUser(typed)) setAsked(typed);
  };
  const disconnect = async () => {
    if (asked === null) return;
    setAsked(null);
    await ending.run(asked);
    setTyped("");
    void looking.run();
  };
  const nameOf = (user: string) => {
    if (organization !== session.demo.organization_id) return undefined;
    return user === CUSTOMER ? t("people.customer") : session.demo.people.find(({ user_id }) => user_id === user)?.name;
  };
  return (
    <Card
      title={t("people.title")}
      lead={t("people.lead")}
      actions={
        <span className={styles.actions}>
          {looking.found && <Badge>{t("people.count", { count: looking.found.length })}</Badge>}
          <Button
            small
            busy={looking.busy}
            disabled={!isUuid(organization)}
            icon={<RefreshCw size={14} aria-hidden />}
            onClick={() => void looking.run()}
          >
            {t("people.refresh")}
          </Button>
        </span>
      }
    >
      {looking.error !== null && <Failure error={looking.error} />}
      {looking.found &&
        (looking.found.length ? (
          <ul className={styles.people}>
            {looking.found.slice(0, MOST).map((user) => (
              <li key={user}>
                <span className={styles.online} aria-hidden />
                <span className={styles.person}>
                  {nameOf(user)} <code>{user}</code>
                </span>
                <IconButton
                  small
                  label={t("people.disconnectUser", { user: nameOf(user) ?? user })}
                  onClick={() => setAsked(user)}
                >
                  <UserRoundX size={16} aria-hidden />
                </IconButton>
              </li>
            ))}
            {looking.found.length > MOST && <li>{t("people.more", { count: looking.found.length - MOST })}</li>}
          </ul>
        ) : (
          <Empty icon={Users} title={t("people.none")}>
            {t("people.noneLead")}
          </Empty>
        ))}
      <form className={styles.withButton} onSubmit={submit} noValidate>
        <TextField
          mono
          label={t("people.user")}
          value={typed}
          onChange={(event) => setTyped(event.target.value.trim())}
          error={typed && !isUser(typed) ? t("badUser") : undefined}
        />
        <Button type="submit" icon={<UserRoundX size={16} aria-hidden />} busy={ending.busy} disabled={!isUser(typed)}>
          {t("people.disconnect")}
        </Button>
      </form>
      {ending.error !== null && <Failure error={ending.error} />}
      {ending.found && <Notice tone="good">{t("people.done", { user: nameOf(ending.found) ?? ending.found })}</Notice>}
      <Dialog
        title={t("people.title2")}
        open={asked !== null}
        onClose={() => setAsked(null)}
        actions={
          <>
            <Button onClick={() => setAsked(null)}>{t("people.cancel")}</Button>
            <Button tone="danger" onClick={() => void disconnect()}>
              {t("people.disconnect")}
            </Button>
          </>
        }
      >
        {t("people.ask", { user: asked === null ? "" : (nameOf(asked) ?? asked) })}
      </Dialog>
    </Card>
  );
}
