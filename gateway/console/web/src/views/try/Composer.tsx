import { SendHorizontal } from "lucide-react";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";

import { IconButton } from "../../ui";
import styles from "./Composer.module.css";

// Who has not pressed a key for this long has stopped typing.
const PAUSE_MS = 3000;
const LONGEST = 1000;

/** Where a message is written; Enter sends it. */
export function Composer({ label, placeholder, onSend, onTyping }: {
  label: string;
  placeholder: string;
  onSend: (text: string) => void;
  onTyping?: (isTyping: boolean) => void;
}) {
  const { t } = useTranslation("try");
  const [text, setText] = useState("");
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);

  const type = (isTyping: boolean) => {
    clearTimeout(timer.current);
    onTyping?.(isTyping);
    if (isTyping) timer.current = setTimeout(() => onTyping?.(false), PAUSE_MS);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!text.trim()) return;
    onSend(text.trim());
    setText("");
    type(false);
  };
  return (
    <form className={styles.composer} onSubmit={submit}>
      <input
        className={styles.input}
        aria-label={label}
        placeholder={placeholder}
        value={text}
        maxLength={LONGEST}
        autoComplete="off"
        enterKeyHint="send"
        onChange={(event) => {
          setText(event.target.value);
          type(event.target.value !== "");
        }}
        onBlur={() => type(false)}
      />
      <IconButton type="submit" tone="primary" className={styles.send} label={t("send")}>
        <SendHorizontal size={18} aria-hidden />
      </IconButton>
    </form>
  );
}
