import type { LucideIcon } from "lucide-react";
import type { ReactNode } from "react";

import styles from "./ui.module.css";

/** In place of what is not there yet: what it is, and what brings it. */
export function Empty({ icon: Icon, title, children }: { icon: LucideIcon; title: string; children?: ReactNode }) {
  return (
    <div className={styles.empty}>
      <Icon size={28} strokeWidth={1.5} aria-hidden />
      <strong>{title}</strong>
      {children !== undefined && <p>{children}</p>}
    </div>
  );
}
