import type { ReactNode } from "react";

import styles from "./ui.module.css";

export type Tone = "plain" | "accent" | "good" | "warn" | "bad";

/** A word in a pill; with a `dot` it is a state. */
export function Badge({ tone = "plain", dot = false, children }: { tone?: Tone; dot?: boolean; children: ReactNode }) {
  return (
    <span className={styles.badge} data-tone={tone}>
      {dot && <span className={styles.dot} aria-hidden />}
      {children}
    </span>
  );
}
