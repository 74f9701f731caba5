import { useTranslation } from "react-i18next";

import { useFormats } from "../../lib/useFormats";
import type { Sample, Seen } from "./history";
import { total } from "./overview";
import styles from "./WatchView.module.css";

/** The figures of this moment. */
export function Tiles({ seen }: { seen: Seen }) {
  const { t } = useTranslation("watch");
  const format = useFormats();
  const nodes = seen.nodes.map(({ node }) => node);
  const now = seen.samples.at(-1);
  const sockets = nodes.reduce((sum, node) => sum + node.sockets, 0);
  const users = total(nodes, "gateway_users");
  const organizations = Math.max(0, ...nodes.map((node) => node.figures?.gateway_tenants ?? 0));
  const [perUser, perEvent] = [users ? sockets / users : null, fanOut(now)];
  const some = (value: number | null | undefined, show: (value: number) => string) =>
    value == null ? "–" : show(value);
  const tiles = [
    {
      label: t("tiles.sockets"),
      value: format.count(sockets),
      aside: t("tiles.unsent", { bytes: format.bytes(total(nodes, "gateway_unsent_bytes")) }),
    },
    {
      label: t("tiles.users"),
      value: format.count(users),
      aside: perUser === null ? "" : t("tiles.perUser", { count: perUser, rate: format.rate(perUser) }),
    },
    {
      label: t("tiles.rooms"),
      value: format.count(nodes.reduce((sum, node) => sum + node.rooms, 0)),
      aside: t("tiles.organizations", { count: organizations }),
    },
    {
      label: t("tiles.events"),
      value: some(now?.events, format.rate),
      aside: t("tiles.total", { count: format.count(nodes.reduce((sum, node) => sum + node.events, 0)) }),
    },
    {
      label: t("tiles.deliveries"),
      value: some(now?.deliveries, format.rate),
      aside: perEvent === null ? "" : t("tiles.fanOut", { count: perEvent, rate: format.rate(perEvent) }),
    },
    {
      label: t("tiles.latency"),
      value: some(now?.p99, format.ms),
      aside: now?.p50 == null ? "" : t("tiles.median", { time: format.ms(now.p50) }),
    },
  ];
  return (
    <section aria-label={t("tiles.label")}>
      <dl className={styles.tiles}>
        {tiles.map(({ label, value, aside }) => (
          <div key={label} className={styles.tile}>
            <dt>{label}</dt>
            <dd className="numbers">{value}</dd>
            <dd className={styles.aside}>{aside}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function fanOut(sample: Sample | undefined): number | null {
  return sample?.events && sample.deliveries !== null ? sample.deliveries / sample.events : null;
}
