import * as Switch from "@radix-ui/react-switch";
import { useId, type ReactNode } from "react";

import styles from "./ui.module.css";

/** A switch with its label. */
export function Toggle({
  label,
  checked,
  onChange,
  tone,
  disabled = false,
}: {
  label: ReactNode;
  checked: boolean;
  onChange: (checked: boolean) => void;
  tone?: "bad";
  disabled?: boolean;
}) {
  const id = useId();
  return (
    <span className={styles.switchRow}>
      <Switch.Root
        id={id}
        className={styles.switch}
        data-tone={tone}
        checked={checked}
        onCheckedChange={onChange}
        disabled={disabled}
      >
        <Switch.Thumb className={styles.thumb} />
      </Switch.Root>
      <label htmlFor={id}>{label}</label>
    </span>
  );
}
