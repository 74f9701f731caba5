import { Pause, Play } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import type { ViewProps } from "../../app/view";
import { useFormats } from "../../lib/useFormats";
import { Badge, Button, Notice, Segments, Spinner, ViewHead } from "../../ui";
import { Charts } from "./Charts";
import { Counts } from "./Counts";
import { Replicas } from "./Replicas";
import { Tail } from "./Tail";
import { Tiles } from "./Tiles";
import { useOverview } from "./useOverview";
import styles from "./WatchView.module.css";

const WINDOWS = ["1", "5", "15"] as const;

/** Every replica at a glance, and one room as it is. */
export default function WatchView({ visible }: ViewProps) {
  const { t } = useTranslation("watch");
  const formats = useFormats();
  const [isPaused, setPaused] = useState(false);
  const [minutes, setMinutes] = useState<(typeof WINDOWS)[number]>("5");
  const { seen, lostSince } = useOverview(visible && !isPaused);
  const nodes = seen.nodes.map(({ node }) => node);
  const state = lostSince !== null ? "lost" : isPaused ? "paused" : "live";
  return (
    <div className={styles.view}>
      <ViewHead title={t("title")} lead={nodes.length ? t("lead", { count: nodes.length }) : t("starting")}>
        <div className={styles.tools}>
          <Badge dot tone={state === "live" ? "good" : state === "lost" ? "bad" : "warn"}>
            {t(state)}
          </Badge>
          <Segments
            label={t("window")}
            value={minutes}
            options={WINDOWS.map((value) => ({ value, shown: t("minutes", { count: Number(value) }) }))}
            onChange={setMinutes}
          />
          <Button
            small
            icon={isPaused ? <Play size={14} aria-hidden /> : <Pause size={14} aria-hidden />}
            onClick={() => setPaused(!isPaused)}
          >
            {isPaused ? t("resume") : t("pause")}
          </Button>
        </div>
      </ViewHead>
      {lostSince !== null && <Notice tone="bad">{t("lostLead", { time: formats.time(lostSince) })}</Notice>}
      {seen.samples.length ? (
        <>
          <Tiles seen={seen} />
          <Charts samples={seen.samples} minutes={Number(minutes)} />
          <Counts nodes={nodes} />
          <Replicas nodes={seen.nodes} />
        </>
      ) : (
        <div className={styles.loading} role="status">
          <Spinner size={24} />
          <span className="visually-hidden">{t("starting")}</span>
        </div>
      )}
      <Tail />
    </div>
  );
}
