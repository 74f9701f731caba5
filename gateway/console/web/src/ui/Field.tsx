import { ChevronDown } from "lucide-react";
import { useId, type ComponentProps, type ReactNode } from "react";

import { classes } from "./classes";
import styles from "./ui.module.css";

interface Around {
  label: string;
  /** Said beside the label. */
  aside?: ReactNode;
  hint?: ReactNode;
  error?: string | undefined;
}

interface Named {
  id: string;
  className: string;
  "aria-invalid": boolean | undefined;
  "aria-describedby": string | undefined;
}

/** A label, what it is for, and what is said of it, tied together for who can't see it. */
function Field({
  label,
  aside,
  hint,
  error,
  className,
  mono,
  children,
}: Around & {
  className: string | undefined;
  mono?: boolean | undefined;
  children: (named: Named) => ReactNode;
}) {
  const id = useId();
  const about = classes(hint !== undefined && `${id}-hint`, error && `${id}-error`);
  return (
    <div className={classes(styles.field, className)}>
      <span className={styles.label}>
        <label htmlFor={id}>{label}</label>
        {aside !== undefined && <span className={styles.aside}>{aside}</span>}
      </span>
      {children({
        id,
        className: classes(styles.input, mono && styles.mono),
        "aria-invalid": error ? true : undefined,
        "aria-describedby": about || undefined,
      })}
      {hint !== undefined && (
        <span id={`${id}-hint`} className={styles.hint}>
          {hint}
        </span>
      )}
      {error && (
        <span id={`${id}-error`} className={styles.error} role="alert">
          {error}
        </span>
      )}
    </div>
  );
}

type Mono = { mono?: boolean };

export function TextField({
  label,
  aside,
  hint,
  error,
  mono,
  className,
  ...rest
}: Around & Mono & ComponentProps<"input">) {
  return (
    <Field {...{ label, aside, hint, error, mono, className }}>
      {(named) => <input autoComplete="off" spellCheck={false} {...rest} {...named} />}
    </Field>
  );
}

export function TextArea({
  label,
  aside,
  hint,
  error,
  mono,
  className,
  ...rest
}: Around & Mono & ComponentProps<"textarea">) {
  return (
    <Field {...{ label, aside, hint, error, mono, className }}>
      {(named) => <textarea spellCheck={false} {...rest} {...named} />}
    </Field>
  );
}

export function SelectField({
  label,
  aside,
  hint,
  error,
  className,
  children,
  ...rest
}: Around & ComponentProps<"select">) {
  return (
    <Field {...{ label, aside, hint, error, className }}>
      {(named) => (
        <span className={styles.selectBox}>
          <select {...rest} {...named}>
            {children}
          </select>
          <ChevronDown size={16} aria-hidden />
        </span>
      )}
    </Field>
  );
}
