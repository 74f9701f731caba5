/** What the charts show: one sample a look, the newest at the end. */
import { added, Fleet, type HistogramName, type Node, type Overview, percentile, type Rates } from "./overview";

export const POLL_MS = 1000;
const KEPT_MS = 15 * 60_000;
/** A percentile is of so much time: of one second of a quiet gateway it would say nothing. */
const SMOOTH_MS = 10_000;

export const SERIES = ["sockets", "events", "deliveries", "p50", "p95", "p99", "lag", "redis"] as const;
export type SeriesName = (typeof SERIES)[number];
export type Sample = { at: number } & Record<SeriesName, number | null>;

export interface Seen {
  samples: Sample[];
  nodes: { node: Node; rates: Rates | null }[];
}

export class History {
  #fleet = new Fleet();
  #recent: { at: number; counts: Record<HistogramName, number[]> }[] = [];
  seen: Seen = { samples: [], nodes: [] };

  /** Take a look in; `at` is this page's time in milliseconds. */
  add(overview: Overview, at: number): Seen {
    const counts = this.#fleet.look(overview);
    const nodes = this.#fleet.nodes;
    this.#recent = [...this.#recent.filter((old) => old.at > at - SMOOTH_MS), { at, counts }];
    const share = (name: HistogramName, part: number) =>
      percentile(overview.bounds[name], added(this.#recent.map((look) => look.counts[name])), part);
    const known = nodes.filter(({ rates }) => rates);
    const rate = (name: "events" | "deliveries") =>
      known.length ? known.reduce((sum, { rates }) => sum + (rates?.[name] ?? 0), 0) : null;
    return this.#push({
      at,
      sockets: nodes.reduce((sum, { node }) => sum + node.sockets, 0),
      events: rate("events"),
      deliveries: rate("deliveries"),
      p50: share("gateway_delivery_latency_seconds", 0.5),
      p95: share("gateway_delivery_latency_seconds", 0.95),
      p99: share("gateway_delivery_latency_seconds", 0.99),
      lag: share("gateway_loop_lag_seconds", 0.99),
      redis: share("gateway_redis_round_trip_seconds", 0.99),
    });
  }

  /** Nobody answered: a gap in every line. */
  miss(at: number): Seen {
    const nothing = Object.fromEntries(SERIES.map((name) => [name, null])) as Record<SeriesName, null>;
    return this.#push({ at, ...nothing });
  }

  #push(sample: Sample): Seen {
    const samples = [...this.seen.samples.filter((old) => old.at > sample.at - KEPT_MS), sample];
    this.seen = { samples, nodes: this.#fleet.nodes };
    return this.seen;
  }
}
