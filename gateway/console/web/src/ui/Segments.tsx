import * as ToggleGroup from "@radix-ui/react-toggle-group";
import type { ReactNode } from "react";

import styles from "./ui.module.css";

/** One of a few, side by side. `name` is what an option is called where it is only a picture. */
export function Segments<Value extends string>({
  label,
  value,
  options,
  onChange,
}: {
  label: string;
  value: Value;
  options: readonly { value: Value; shown: ReactNode; name?: string }[];
  onChange: (value: Value) => void;
}) {
  return (
    <ToggleGroup.Root
      type="single"
      className={styles.segments}
      aria-label={label}
      value={value}
      onValueChange={(wanted) => wanted && onChange(wanted as Value)}
    >
      {options.map((option) => (
        <ToggleGroup.Item
          key={option.value}
          value={option.value}
          className={styles.segment}
          aria-label={option.name}
          title={option.name}
        >
          {option.shown}
        </ToggleGroup.Item>
      ))}
    </ToggleGroup.Root>
  );
}
