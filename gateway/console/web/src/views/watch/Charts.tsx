import { useMemo } from "react";
import { useTranslation } from "react-i18next";

import { Chart, type Line } from "../../charts/Chart";
import { useFormats } from "../../lib/useFormats";
import type { Sample, SeriesName } from "./history";
import styles from "./WatchView.module.css";

const LEAST_MS = 30_000;

/** The last minutes as lines. */
export function Charts({ samples, minutes }: { samples: Sample[]; minutes: number }) {
  const { t } = useTranslation("watch");
  const format = useFormats();
  const last = samples.at(-1)?.at ?? 0;
  // Nothing was seen before the first sample: a line that begins at the left reads better than an empty chart.
  const from = Math.min(Math.max(last - minutes * 60_000, samples[0]?.at ?? 0), last - LEAST_MS);
  const shown = useMemo(() => samples.filter((sample) => sample.at >= from), [samples, from]);
  const times = useMemo(() => shown.map((sample) => sample.at), [shown]);
  const line = (label: string, series: SeriesName, number: 1 | 2 | 3 | 4): Line => ({
    label,
    color: `--series-${number}`,
    values: shown.map((sample) => sample[series]),
  });
  const all = { times, from };
  return (
    <section className={styles.charts} aria-label={t("charts.label")}>
      <Chart
        {...all}
        title={t("charts.events")}
        about={t("charts.eventsAbout")}
        lines={[line(t("charts.events"), "events", 1)]}
        format={format.rate}
      />
      <Chart
        {...all}
        title={t("charts.deliveries")}
        about={t("charts.deliveriesAbout")}
        lines={[line(t("charts.deliveries"), "deliveries", 2)]}
        format={format.rate}
      />
      <Chart
        {...all}
        title={t("charts.latency")}
        about={t("charts.latencyAbout")}
        lines={[line(t("charts.p50"), "p50", 1), line(t("charts.p95"), "p95", 3), line(t("charts.p99"), "p99", 4)]}
        format={format.ms}
      />
      <Chart
        {...all}
        title={t("charts.lag")}
        about={t("charts.lagAbout")}
        lines={[line(t("charts.loop"), "lag", 2), line(t("charts.redis"), "redis", 3)]}
        format={format.ms}
      />
      <Chart
        {...all}
        title={t("charts.sockets")}
        about={t("charts.socketsAbout")}
        lines={[line(t("charts.sockets"), "sockets", 1)]}
        format={format.count}
      />
    </section>
  );
}
