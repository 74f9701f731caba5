import { useTranslation } from "react-i18next";

import { useFormats } from "../../lib/useFormats";
import { Badge, Card } from "../../ui";
import type { Node, Rates } from "./overview";
import styles from "./WatchView.module.css";

/** One line a process. */
export function Replicas({ nodes }: { nodes: { node: Node; rates: Rates | null }[] }) {
  const { t } = useTranslation("watch");
  const format = useFormats();
  const columns = ["sockets", "rooms", "events", "deliveries", "cpu", "memory", "uptime", "version"] as const;
  const cells = (node: Node, rates: Rates | null): Record<(typeof columns)[number], string> => ({
    sockets: format.count(node.sockets),
    rooms: format.count(node.rooms),
    events: rates ? format.rate(rates.events) : "–",
    deliveries: rates ? format.rate(rates.deliveries) : "–",
    cpu: rates ? format.percent(rates.cpu) : "–",
    memory: format.bytes(node.figures?.process_resident_memory_bytes ?? 0),
    uptime: format.span(
      Math.max(0, Date.now() / 1000 - (node.figures?.process_start_time_seconds ?? Date.now() / 1000)),
    ),
    version: node.version,
  });
  return (
    <Card title={t("replicas.title")}>
      <table className={styles.replicas}>
        <thead>
          <tr>
            <th scope="col">{t("replicas.process")}</th>
            <th scope="col">{t("replicas.state")}</th>
            {columns.map((column) => (
              <th key={column} scope="col">
                {t(`replicas.${column}`)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {nodes.map(({ node, rates }) => {
            const shown = cells(node, rates);
            return (
              <tr key={node.name}>
                <th scope="row">
                  <span>{node.replica}</span>
                  <span className={styles.where}>{node.url}</span>
                </th>
                <td data-label={t("replicas.state")}>
                  <State node={node} />
                </td>
                {columns.map((column) => (
                  <td key={column} className="numbers" data-label={t(`replicas.${column}`)}>
                    {shown[column]}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </Card>
  );
}

function State({ node }: { node: Node }) {
  const { t } = useTranslation("watch");
  const why = (node.findings ?? []).join("; ");
  if (node.draining)
    return (
      <Badge dot tone="warn">
        {t("replicas.draining")}
      </Badge>
    );
  if (node.ready)
    return (
      <Badge dot tone="good">
        {t("replicas.ready")}
      </Badge>
    );
  return (
    <span title={why}>
      <Badge dot tone="bad">
        {t("replicas.notReady")}
      </Badge>
    </span>
  );
}
