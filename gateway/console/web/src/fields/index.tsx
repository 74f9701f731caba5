/** Fields that several views have. */
import { useTranslation } from "react-i18next";

import { useSession } from "../api/session";
import { parts } from "../lib/ids";
import { SelectField, TextField } from "../ui";
import styles from "./fields.module.css";

interface Field {
  value: string;
  onChange: (value: string) => void;
  error?: string | undefined;
  disabled?: boolean;
}

export function OrganizationField({ value, onChange, ...rest }: Field) {
  const { t } = useTranslation();
  return (
    <TextField
      mono
      label={t("fields.organization")}
      value={value}
      onChange={(event) => onChange(event.target.value.trim())}
      {...rest}
    />
  );
}

/** A room as its kind and its id; a whole name may be pasted into the id. */
export function RoomField({ value, onChange, error, disabled }: Field) {
  const { t } = useTranslation();
  const { session } = useSession();
  const [kind, id] = parts(value);
  const kinds = session.room_kinds.includes(kind) || !kind ? session.room_kinds : [...session.room_kinds, kind];
  const change = (text: string) => onChange(text.includes(":") ? text.trim() : `${kind}:${text.trim()}`);
  return (
    <div className={styles.room}>
      <SelectField
        label={t("fields.roomKind")}
        value={kind}
        disabled={disabled}
        onChange={(event) => onChange(`${event.target.value}:${id}`)}
      >
        {kinds.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </SelectField>
      <TextField
        mono
        label={t("fields.roomId")}
        value={id}
        disabled={disabled}
        error={error}
        onChange={(event) => change(event.target.value)}
      />
    </div>
  );
}
