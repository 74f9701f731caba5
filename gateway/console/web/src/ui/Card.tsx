import { useId, type ReactNode } from "react";

import { classes } from "./classes";
import styles from "./ui.module.css";

/** A part of a view, with a heading that names it. */
export function Card({
  title,
  lead,
  actions,
  className,
  children,
}: {
  title: ReactNode;
  lead?: ReactNode;
  actions?: ReactNode;
  className?: string | undefined;
  children: ReactNode;
}) {
  const id = useId();
  return (
    <section className={classes(styles.card, className)} aria-labelledby={id}>
      <header className={styles.cardHead}>
        <div>
          <h2 id={id} className={styles.cardTitle}>
            {title}
          </h2>
          {lead !== undefined && <p className={styles.cardLead}>{lead}</p>}
        </div>
        {actions}
      </header>
      <div className={styles.cardBody}>{children}</div>
    </section>
  );
}
