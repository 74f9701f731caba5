import { classes } from "./classes";
import styles from "./ui.module.css";

// A key with its colon, a text, or another value; what is between them stays as it is.
const PART = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const LONGEST = 20_000;

/** JSON, coloured; laid out, or `dense` on as few lines as it fits. */
export function Json({ value, className, dense = false }: { value: unknown; className?: string; dense?: boolean }) {
  const text = JSON.stringify(value, null, dense ? 0 : 2) ?? "null";
  return <pre className={classes(styles.json, dense && styles.dense, className)}>{text.length > LONGEST ? text : coloured(text)}</pre>;
}

function coloured(text: string) {
  const parts = [];
  let at = 0;
  for (const match of text.matchAll(PART)) {
    const [whole, quoted, colon] = match;
    parts.push(text.slice(at, match.index));
    const kind = quoted === undefined ? styles.jsonOther : colon === undefined ? styles.jsonText : styles.jsonKey;
    parts.push(
      <span key={match.index} className={kind}>
        {quoted ?? whole}
      </span>,
    );
    if (colon !== undefined) parts.push(colon);
    at = match.index + whole.length;
  }
  return [...parts, text.slice(at)];
}
