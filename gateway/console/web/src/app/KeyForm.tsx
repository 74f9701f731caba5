import { KeyRound } from "lucide-react";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";

import { Button, TextField } from "../ui";
import styles from "./App.module.css";

/** Asks for the API key. */
export function KeyForm({ wrong, enter }: { wrong: boolean; enter: (key: string) => void }) {
  const { t } = useTranslation();
  const [key, setKey] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (key.trim()) enter(key.trim());
  };
  return (
    <form className={styles.keyForm} onSubmit={submit}>
      <span className={styles.keyIcon}>
        <KeyRound size={22} aria-hidden />
      </span>
      <h2 className={styles.keyTitle}>{t("key.title")}</h2>
      <p>{t("key.lead")}</p>
      <TextField
        label={t("key.label")}
        type="password"
        autoFocus
        required
        mono
        value={key}
        onChange={(event) => setKey(event.target.value)}
        hint={t("key.kept")}
        error={wrong ? t("key.wrong") : undefined}
      />
      <Button type="submit" tone="primary">
        {t("key.open")}
      </Button>
    </form>
  );
}
