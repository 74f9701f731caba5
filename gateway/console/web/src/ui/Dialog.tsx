import { useEffect, useId, useRef, type ReactNode } from "react";

import styles from "./ui.module.css";

/** Asks before something is done. The browser's own dialog: it keeps the focus, and Escape closes it. */
export function Dialog({
  title,
  open,
  onClose,
  actions,
  children,
}: {
  title: string;
  open: boolean;
  onClose: () => void;
  actions: ReactNode;
  children: ReactNode;
}) {
  const id = useId();
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (open) element.current?.showModal();
    else element.current?.close();
  }, [open]);
  return (
    <dialog ref={element} className={styles.dialog} aria-labelledby={id} onClose={onClose}>
      <h2 id={id} className={styles.dialogTitle}>
        {title}
      </h2>
      <div className={styles.dialogText}>{children}</div>
      <div className={styles.dialogActions}>{actions}</div>
    </dialog>
  );
}
