import { LoaderCircle } from "lucide-react";

import styles from "./ui.module.css";

export function Spinner({ size = 16 }: { size?: number }) {
  return <LoaderCircle className={styles.spinner} size={size} aria-hidden />;
}
