import "uplot/dist/uPlot.min.css";

import { type ReactNode, useEffect, useId, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import uPlot from "uplot";

import { useShownTheme } from "../app/theme";
import { useFormats } from "../lib/useFormats";
import styles from "./Chart.module.css";

export interface Line {
  label: string;
  /** One of the colours in tokens.css, such as `--series-1`. */
  color: string;
  values: (number | null)[];
}

/** Pointing at one chart shows the same moment in all of them. */
const TOGETHER = "console";

/**
 * Lines over time. What they show is said in words and figures as well: the newest values, or those that are pointed
 * at, stand above the lines, and who can't see the lines is told the newest and the highest.
 */
export function Chart({
  title,
  about,
  times,
  lines,
  format,
  from,
  height = 150,
}: {
  title: string;
  /** What it measures. */
  about?: ReactNode;
  /** In milliseconds, ascending. */
  times: number[];
  lines: Line[];
  format: (value: number) => string;
  /** The beginning of what is shown, in milliseconds. */
  from: number;
  height?: number;
}) {
  const { t } = useTranslation("watch");
  const formats = useFormats();
  const id = useId();
  const [pointed, setPointed] = useState<number | null>(null);
  const last = times.length - 1;
  const shown = pointed !== null && pointed <= last ? pointed : last;
  const valueAt = (line: Line) => line.values[shown] ?? null;
  const said = lines.map((line) => {
    const known = line.values.filter((value) => value !== null);
    const now = line.values[last] ?? null;
    if (now === null) return `${line.label}: ${t("chart.none")}`;
    return t("chart.said", { label: line.label, now: format(now), most: format(Math.max(...known)) });
  });
  return (
    <figure className={styles.figure} aria-labelledby={id}>
      <figcaption id={id} className={styles.title}>
        {title}
      </figcaption>
      <dl className={styles.values}>
        {lines.map((line) => {
          const value = valueAt(line);
          return (
            <div key={line.label} className={styles.value}>
              {lines.length > 1 && (
                <dt>
                  <Dot color={line.color} />
                  {line.label}
                </dt>
              )}
              {lines.length === 1 && <dt className="visually-hidden">{line.label}</dt>}
              <dd className="numbers">{value === null ? "–" : format(value)}</dd>
            </div>
          );
        })}
      </dl>
      <p className={styles.about}>
        {pointed !== null && times[shown] !== undefined ? formats.time(times[shown]) : about}
      </p>
      <Plot {...{ times, lines, format, from, height }} label={said.join(". ")} onPoint={setPointed} />
    </figure>
  );
}

function Dot({ color }: { color: string }) {
  return <span className={styles.dot} style={{ background: `var(${color})` }} aria-hidden />;
}

function Plot({
  times,
  lines,
  format,
  from,
  height,
  label,
  onPoint,
}: {
  times: number[];
  lines: Line[];
  format: (value: number) => string;
  from: number;
  height: number;
  label: string;
  onPoint: (index: number | null) => void;
}) {
  const theme = useShownTheme();
  const formats = useFormats();
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const look = useMemo(() => lines.map((line) => line.color).join(), [lines]);
  const data = useMemo<uPlot.AlignedData>(
    () => [times.map((time) => time / 1000), ...lines.map((line) => line.values)],
    [times, lines],
  );
  const latest = useRef({ data, from, format });
  useEffect(() => void (latest.current = { data, from, format }));

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const made = new uPlot(
      options(element, look.split(","), height, latest.current.format, formats.time, onPoint),
      latest.current.data,
      element,
    );
    plot.current = made;
    show(made, latest.current.data, latest.current.from);
    const resizing = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    resizing.observe(element);
    return () => {
      resizing.disconnect();
      made.destroy();
      plot.current = null;
    };
    // The theme's colours are painted, so that another theme is another painting.
  }, [look, height, theme, formats, onPoint]);

  useEffect(() => {
    if (plot.current) show(plot.current, data, from);
  }, [data, from]);

  return <div ref={place} className={styles.plot} role="img" aria-label={label} />;
}

function show(plot: uPlot, data: uPlot.AlignedData, from: number): void {
  const times = data[0];
  const last = times[times.length - 1] ?? Date.now() / 1000;
  plot.batch(() => {
    plot.setData(data, false);
    plot.setScale("x", { min: from / 1000, max: Math.max(last, from / 1000 + 1) });
  });
}

function options(
  element: HTMLElement,
  colors: string[],
  height: number,
  format: (value: number) => string,
  time: (ms: number) => string,
  onPoint: (index: number | null) => void,
): uPlot.Options {
  const painted = (name: string) => colorOf(element, name);
  const font = `11px ${getComputedStyle(element).fontFamily}`;
  const axis = { stroke: painted("--text-faint"), font, ticks: { show: false } };
  const grid = { stroke: painted("--grid"), width: 1 };
  return {
    width: element.clientWidth,
    height,
    padding: [8, 24, 0, 0],
    legend: { show: false },
    cursor: {
      sync: { key: TOGETHER },
      y: false,
      drag: { x: false, y: false },
      points: { size: 7 },
    },
    scales: {
      // Above nothing at all a line would stand in the middle.
      y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.12 : 1] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        space: 76,
        size: 24,
        values: (_plot, ticks) => ticks.map((tick) => time(tick * 1000)),
      },
      { ...axis, grid, space: 36, size: 56, values: (_plot, ticks) => ticks.map(format) },
    ],
    series: [
      {},
      ...colors.map((name, i) => ({
        stroke: painted(name),
        width: 1.75,
        ...(i === 0 && colors.length === 1 && { fill: faded(painted(name)) }),
        points: { show: false },
      })),
    ],
    hooks: {
      setCursor: [(plot) => onPoint(plot.cursor.idx ?? null)],
    },
  };
}

/** What a colour of the style sheet is in the theme of the moment. */
function colorOf(element: HTMLElement, name: string): string {
  element.style.color = `var(${name})`;
  const color = getComputedStyle(element).color;
  element.style.color = "";
  return color;
}

function faded(color: string): string {
  return color.replace(/^rgb\((.*)\)$/, "rgba($1, 0.1)");
}
