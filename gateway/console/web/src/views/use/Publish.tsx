import { Braces, Send, Sparkles } from "lucide-react";
import { type FormEvent, type KeyboardEvent, useRef, useState } from "react";
import { useTranslation } from "react-i18next";

import { useSession } from "../../api/session";
import type { Receipt } from "../../api/types";
import { RoomField } from "../../fields";
import { isRoom, isUuid } from "../../lib/ids";
import { useSubject } from "../../lib/subject";
import { useFormats } from "../../lib/useFormats";
import { Button, Card, CopyButton, Failure, Notice, TextArea, TextField, Toggle } from "../../ui";
import { EVENTS, example } from "./examples";
import { useAction } from "./useAction";
import styles from "./UseView.module.css";

const NOTHING = { key: "", version: "", conflate: "", ephemeral: false };

/** Publish one event, and show the receipt. */
export function Publish() {
  const { t } = useTranslation("use");
  const { session, http } = useSession();
  const [{ organization, room }, change] = useSubject(session.demo);
  const [event, setEvent] = useState<string>(EVENTS[0]);
  const [text, setText] = useState(() => laidOut(example(EVENTS[0], room)));
  const [more, setMore] = useState(NOTHING);
  const form = useRef<HTMLFormElement>(null);
  const json = parsed(text);
  const publishing = useAction(async (data: unknown) => {
    const started = performance.now();
    const receipt = await http.post<Receipt>("/api/v1/events", {
      organization_id: organization,
      event,
      data,
      to: [room],
      ephemeral: more.ephemeral,
      ...(more.key && { key: more.key }),
      ...(more.version && { version: Number(more.version) }),
      ...(more.conflate && { conflate: more.conflate }),
    });
    return { ...receipt, took: performance.now() - started };
  });
  const canPublish = isUuid(organization) && isRoom(room) && event !== "" && "value" in json;
  const submit = (submitted: FormEvent) => {
    submitted.preventDefault();
    if (canPublish) void publishing.run(json.value);
  };
  const onKey = (pressed: KeyboardEvent) => {
    if (pressed.key === "Enter" && (pressed.ctrlKey || pressed.metaKey)) form.current?.requestSubmit();
  };
  return (
    <Card title={t("publish.title")} lead={t("publish.lead")}>
      <form ref={form} className={styles.form} onSubmit={submit} onKeyDown={onKey} noValidate>
        <RoomField value={room} onChange={(room) => change({ room })} error={isRoom(room) ? undefined : t("badRoom")} />
        <div className={styles.withButton}>
          <TextField
            mono
            label={t("publish.event")}
            list="events"
            maxLength={64}
            value={event}
            onChange={(typed) => setEvent(typed.target.value.trim())}
          />
          <datalist id="events">
            {EVENTS.map((name) => (
              <option key={name} value={name} />
            ))}
          </datalist>
          <Button icon={<Sparkles size={16} aria-hidden />} onClick={() => setText(laidOut(example(event, room)))}>
            {t("publish.example")}
          </Button>
        </div>
        <Editor text={text} onChange={setText} json={json} />
        <More more={more} onChange={(changed) => setMore({ ...more, ...changed })} />
        <div className={styles.actions}>
          <Button
            type="submit"
            tone="primary"
            icon={<Send size={16} aria-hidden />}
            busy={publishing.busy}
            disabled={!canPublish}
          >
            {t("publish.publish")}
          </Button>
          <kbd className={styles.shortcut}>{t("publish.shortcut")}</kbd>
        </div>
      </form>
      {publishing.error !== null && <Failure error={publishing.error} />}
      {publishing.found && <ReceiptNote receipt={publishing.found} />}
    </Card>
  );
}

function Editor({ text, onChange, json }: { text: string; onChange: (text: string) => void; json: Parsed }) {
  const { t } = useTranslation("use");
  const format = useFormats();
  const isValid = "value" in json;
  return (
    <div className={styles.editor}>
      <TextArea
        mono
        label={t("publish.data")}
        rows={Math.min(Math.max(text.split("\n").length, 5), 18)}
        value={text}
        onChange={(typed) => onChange(typed.target.value)}
        error={isValid ? undefined : t("publish.invalid", { reason: json.reason })}
        {...(isValid && { hint: t("publish.valid", { bytes: format.bytes(new Blob([text]).size) }) })}
      />
      <Button
        small
        tone="quiet"
        className={styles.layOut}
        icon={<Braces size={14} aria-hidden />}
        disabled={!isValid}
        onClick={() => isValid && onChange(laidOut(json.value))}
      >
        {t("publish.format")}
      </Button>
    </div>
  );
}

function More({ more, onChange }: { more: typeof NOTHING; onChange: (changed: Partial<typeof NOTHING>) => void }) {
  const { t } = useTranslation("use");
  const { t: common } = useTranslation();
  return (
    <details className={styles.more}>
      <summary>{t("publish.more")}</summary>
      <div className={styles.moreFields}>
        <TextField
          mono
          label={t("publish.key")}
          aside={common("optional")}
          hint={t("publish.keyHint")}
          maxLength={200}
          value={more.key}
          onChange={(typed) => onChange({ key: typed.target.value })}
        />
        <TextField
          mono
          label={t("publish.version")}
          aside={common("optional")}
          hint={t("publish.versionHint")}
          inputMode="numeric"
          value={more.version}
          onChange={(typed) => onChange({ version: typed.target.value.replace(/\D/g, "").slice(0, 15) })}
        />
        <TextField
          mono
          label={t("publish.conflate")}
          aside={common("optional")}
          hint={t("publish.conflateHint")}
          maxLength={200}
          value={more.conflate}
          onChange={(typed) => onChange({ conflate: typed.target.value })}
        />
        <Toggle
          label={t("publish.ephemeral")}
          checked={more.ephemeral}
          onChange={(ephemeral) => onChange({ ephemeral })}
        />
      </div>
    </details>
  );
}

function ReceiptNote({ receipt }: { receipt: Receipt & { took: number } }) {
  const { t } = useTranslation("use");
  const format = useFormats();
  return (
    <Notice
      tone={receipt.duplicate ? "warn" : "good"}
      title={t(receipt.duplicate ? "publish.duplicate" : "publish.done")}
    >
      <dl className={styles.receipt}>
        <dt>{t("publish.offset")}</dt>
        <dd>
          <code>{receipt.offset}</code> <CopyButton text={receipt.offset} />
        </dd>
        <dt>{t("publish.took")}</dt>
        <dd className="numbers">{format.ms(receipt.took)}</dd>
      </dl>
    </Notice>
  );
}

type Parsed = { value: unknown } | { reason: string };

function parsed(text: string): Parsed {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    return { reason: error instanceof Error ? error.message : "" };
  }
}

function laidOut(value: unknown): string {
  return JSON.stringify(value, null, 2);
}
