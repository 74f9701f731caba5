import type { ReactNode } from "react";

import styles from "./ui.module.css";

/** What a view is, above it; beside that what is about all of it. */
export function ViewHead({ title, lead, children }: { title: string; lead: string; children: ReactNode }) {
  return (
    <header className={styles.viewHead}>
      <div>
        <h2>{title}</h2>
        <p>{lead}</p>
      </div>
      {children}
    </header>
  );
}
