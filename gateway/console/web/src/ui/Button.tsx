import type { ComponentProps, ReactNode } from "react";

import { classes } from "./classes";
import { Spinner } from "./Spinner";
import { Tip } from "./Tip";
import styles from "./ui.module.css";

type Look = { tone?: "primary" | "danger" | "quiet" | "plain"; small?: boolean };

function look({ tone = "plain", small = false }: Look): string {
  return classes(styles.button, tone !== "plain" && styles[tone], small && styles.small);
}

/** A button; while `busy` it can't be pressed again. */
export function Button({
  tone,
  small,
  busy = false,
  icon,
  children,
  className,
  ...rest
}: ComponentProps<"button"> & Look & { busy?: boolean; icon?: ReactNode }) {
  return (
    <button
      type="button"
      {...rest}
      className={classes(look({ ...(tone && { tone }), ...(small && { small }) }), className)}
      disabled={rest.disabled || busy}
      aria-busy={busy || undefined}
    >
      {busy ? <Spinner /> : icon}
      {children}
    </button>
  );
}

/** A button that is only a picture: `label` is what it is called, and is shown beside the pointer. */
export function IconButton({
  label,
  tone = "quiet",
  small,
  children,
  className,
  ...rest
}: ComponentProps<"button"> & Look & { label: string }) {
  return (
    <Tip text={label}>
      <button
        type="button"
        aria-label={label}
        {...rest}
        className={classes(look({ tone, ...(small && { small }) }), styles.icon, className)}
      >
        {children}
      </button>
    </Tip>
  );
}
