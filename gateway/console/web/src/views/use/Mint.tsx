import { Dices, KeyRound } from "lucide-react";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";

import { useSession } from "../../api/session";
import type { Minted } from "../../api/types";
import { isUser, isUuid, newId } from "../../lib/ids";
import { useSubject } from "../../lib/subject";
import { useFormats } from "../../lib/useFormats";
import { Button, Card, CopyButton, Failure, IconButton, Json, Notice, SelectField, TextField } from "../../ui";
import { useAction } from "./useAction";
import styles from "./UseView.module.css";

const TIMES = [900, 3600, 28_800, 86_400];

/** Mint an access token, and show what it says. */
export function Mint() {
  const { t } = useTranslation("use");
  const { session } = useSession();
  return (
    <Card title={t("mint.title")} lead={t("mint.lead")}>
      {session.minting.available ? (
        <Form longest={session.longest_token_s} />
      ) : (
        <Notice tone="plain" title={t(`mint.${session.minting.reason}`)}>
          {t(`mint.${session.minting.reason}Lead`)}
        </Notice>
      )}
    </Card>
  );
}

function Form({ longest }: { longest: number }) {
  const { t } = useTranslation("use");
  const { session, http } = useSession();
  const [{ organization }] = useSubject(session.demo);
  const [user, setUser] = useState(session.demo.people[0]?.user_id ?? newId);
  const [role, setRole] = useState("agent");
  const times = TIMES.filter((seconds) => seconds <= longest);
  const [ttl, setTtl] = useState(times[0] ?? longest);
  const minting = useAction(() =>
    http.post<Minted>("/console/api/tokens", { user_id: user, organization_id: organization, role, ttl_s: ttl }),
  );
  const canMint = isUuid(organization) && isUser(user) && role !== "";
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (canMint) void minting.run();
  };
  const shown = (seconds: number) =>
    seconds < 3600
      ? t("mint.minutes", { count: Math.round(seconds / 60) })
      : t("mint.hours", { count: seconds / 3600 });
  return (
    <>
      <form className={styles.form} onSubmit={submit} noValidate>
        <div className={styles.withButton}>
          <TextField
            mono
            label={t("mint.user")}
            value={user}
            onChange={(event) => setUser(event.target.value.trim())}
            error={isUser(user) ? undefined : t("badUser")}
          />
          <IconButton tone="plain" label={t("mint.random")} onClick={() => setUser(newId())}>
            <Dices size={18} aria-hidden />
          </IconButton>
        </div>
        <div className={styles.pair}>
          <TextField
            label={t("mint.role")}
            value={role}
            maxLength={64}
            onChange={(event) => setRole(event.target.value.trim())}
          />
          <SelectField label={t("mint.ttl")} value={ttl} onChange={(event) => setTtl(Number(event.target.value))}>
            {(times.length ? times : [longest]).map((seconds) => (
              <option key={seconds} value={seconds}>
                {shown(seconds)}
              </option>
            ))}
          </SelectField>
        </div>
        <div className={styles.actions}>
          <Button
            type="submit"
            tone="primary"
            icon={<KeyRound size={16} aria-hidden />}
            busy={minting.busy}
            disabled={!canMint}
          >
            {t("mint.mint")}
          </Button>
        </div>
      </form>
      {minting.error !== null && <Failure error={minting.error} />}
      {minting.found && <Token minted={minting.found} />}
    </>
  );
}

function Token({ minted }: { minted: Minted }) {
  const { t } = useTranslation("use");
  const format = useFormats();
  const snippet = `io("${location.origin}", { auth: { token: "${minted.token}" } })`;
  return (
    <div className={styles.token} role="status">
      <div className={styles.tokenHead}>
        <h3>{t("mint.token")}</h3>
        <span className={styles.actions}>
          <span className={styles.faint}>{t("mint.expires", { time: format.time(minted.claims.exp * 1000) })}</span>
          <CopyButton words text={minted.token} />
        </span>
      </div>
      <code className={styles.tokenText}>{minted.token}</code>
      <h3>{t("mint.claims")}</h3>
      <Json value={minted.claims} />
      <div className={styles.tokenHead}>
        <h3>{t("mint.snippet")}</h3>
        <CopyButton words text={snippet} />
      </div>
      <code className={styles.tokenText}>{snippet}</code>
    </div>
  );
}
