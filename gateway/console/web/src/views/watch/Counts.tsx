import { useTranslation } from "react-i18next";

import { useFormats } from "../../lib/useFormats";
import { Card } from "../../ui";
import { type Node, total, totals } from "./overview";
import styles from "./WatchView.module.css";

const MOST = 8;
const OUTCOMES = ["recovered", "expired", "unknown", "epoch", "trimmed", "identity"] as const;

interface Row {
  name: string;
  /** As the gateway calls it, where `name` is another word for it. */
  code?: string;
  count: number;
  color: string;
}

/** What was counted since the replicas started: recoveries, refusals, and what should not happen. */
export function Counts({ nodes }: { nodes: Node[] }) {
  const { t } = useTranslation("watch");
  const recoveries = totals(nodes, "gateway_recoveries_total").map(([outcome, count]): Row => {
    const known = OUTCOMES.find((name) => name === outcome);
    const color = outcome === "recovered" ? "--series-1" : "--series-3";
    return { name: known ? t(`counts.${known}`) : outcome, code: outcome, count, color };
  });
  const replayed = total(nodes, "gateway_replayed_total");
  const refusals = (
    [
      ["gateway_refused_total", t("counts.connect"), "--series-4"],
      ["gateway_event_refused_total", t("counts.event"), "--series-3"],
      ["gateway_limited_total", t("counts.limit"), "--series-2"],
    ] as const
  )
    .flatMap(([figure, name, color]) =>
      totals(nodes, figure).map(([code, count]): Row => ({ name, code, count, color })),
    )
    .sort((a, b) => b.count - a.count);
  const health = (
    [
      ["gateway_slow_cut_total", t("counts.slow")],
      ["gateway_resyncs_total", t("counts.resyncs")],
      ["gateway_unrecoverable_gaps_total", t("counts.holes")],
    ] as const
  ).map(([figure, name]) => ({ name, count: total(nodes, figure) }));
  return (
    <section className={styles.counts} aria-label={t("counts.label")}>
      <Card title={t("counts.recoveries")} lead={t("counts.recoveriesAbout")}>
        <Bars rows={recoveries} none={t("counts.noRecoveries")} />
        {replayed > 0 && <Figures rows={[{ name: t("counts.replayed"), count: replayed }]} />}
      </Card>
      <Card title={t("counts.refusals")} lead={t("counts.refusalsAbout")}>
        <Bars rows={refusals} none={t("counts.noRefusals")} />
      </Card>
      <Card title={t("counts.health")} lead={t("counts.healthAbout")}>
        <Figures rows={health} />
      </Card>
    </section>
  );
}

function Bars({ rows, none }: { rows: Row[]; none: string }) {
  const format = useFormats();
  if (!rows.length) return <p className={styles.none}>{none}</p>;
  const all = rows.reduce((sum, row) => sum + row.count, 0);
  return (
    <ul className={styles.bars}>
      {rows.slice(0, MOST).map(({ name, code, count, color }) => (
        <li key={`${name} ${code}`}>
          <span className={styles.barName}>
            {name} {code !== undefined && code !== name && <code>{code}</code>}
          </span>
          <span className="numbers">{format.count(count)}</span>
          <span className={styles.bar} aria-hidden>
            <span style={{ width: `${(100 * count) / all}%`, background: `var(${color})` }} />
          </span>
        </li>
      ))}
    </ul>
  );
}

function Figures({ rows }: { rows: { name: string; count: number }[] }) {
  const format = useFormats();
  return (
    <dl className={styles.figures}>
      {rows.map(({ name, count }) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd className="numbers">{format.count(count)}</dd>
        </div>
      ))}
    </dl>
  );
}
