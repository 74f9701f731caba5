import { CircleAlert, CircleCheck, Info, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { ApiError } from "../api/http";
import type { Tone } from "./Badge";
import styles from "./ui.module.css";

const ICONS = { plain: Info, accent: Info, good: CircleCheck, warn: TriangleAlert, bad: CircleAlert };

/** Something to know; `warn` and `bad` are said aloud. */
export function Notice({ tone = "plain", title, children }: { tone?: Tone; title?: ReactNode; children?: ReactNode }) {
  const Icon = ICONS[tone];
  return (
    <div className={styles.notice} data-tone={tone} role={tone === "bad" || tone === "warn" ? "alert" : "status"}>
      <Icon size={16} aria-hidden />
      <div>
        {title !== undefined && <strong>{title}</strong>}
        {children}
      </div>
    </div>
  );
}

/** What went wrong with a request: in the user's language, and in the gateway's own words for the details. */
export function Failure({ error }: { error: unknown }) {
  const { t } = useTranslation();
  if (!(error instanceof ApiError)) return <Notice tone="bad" title={t("errors.broken")} />;
  const codes = ["offline", "unauthorized", "not_found", "unavailable", "internal"] as const;
  const known = codes.find((code) => code === error.code) ?? "bad_request";
  const details = error.fields.map(({ field, message }) => (field ? `${field}: ${message}` : message));
  if (known === "bad_request" && !details.length) details.push(error.message);
  return (
    <Notice tone="bad" title={t(`errors.${known}`)}>
      {details.map((detail) => (
        <p key={detail}>{detail}</p>
      ))}
    </Notice>
  );
}
