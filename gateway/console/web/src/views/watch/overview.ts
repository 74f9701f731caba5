/** What the gateway says of all its processes, and what follows from two looks at it. */

type Counts = Record<string, number>;

/** One process; the counts go on growing until it ends. */
export interface Node {
  name: string;
  replica: string;
  url: string;
  host: string;
  pid: number;
  version: string;
  ready: boolean;
  draining: boolean;
  findings?: string[];
  sockets: number;
  rooms: number;
  events: number;
  deliveries: number;
  /** Its own clock in seconds. */
  at?: number;
  figures?: Partial<Figures>;
}

export interface Figures extends Record<HistogramName, number[]> {
  gateway_users: number;
  gateway_tenants: number;
  gateway_recoveries_total: Counts;
  gateway_replayed_total: number;
  gateway_resyncs_total: number;
  gateway_unrecoverable_gaps_total: number;
  gateway_refused_total: Counts;
  gateway_event_refused_total: Counts;
  gateway_limited_total: Counts;
  gateway_slow_cut_total: number;
  gateway_unsent_bytes: number;
  process_cpu_seconds_total: number;
  process_resident_memory_bytes: number;
  process_start_time_seconds: number;
}

export const HISTOGRAMS = [
  "gateway_delivery_latency_seconds",
  "gateway_redis_round_trip_seconds",
  "gateway_loop_lag_seconds",
] as const;
export type HistogramName = (typeof HISTOGRAMS)[number];

export interface Overview {
  nodes: Node[];
  /** Upper ends of the buckets in seconds; one bucket more is for what is above the last. */
  bounds: Record<HistogramName, number[]>;
}

/** What a process did a second, between its last two words. */
export interface Rates {
  events: number;
  deliveries: number;
  /** Share of a core. */
  cpu: number;
}

type Histograms = Record<HistogramName, number[]>;

/** Follows every process from look to look. */
export class Fleet {
  #known = new Map<string, { node: Node; rates: Rates | null }>();

  /** Take a look in; gives what fell into each histogram since the one before. */
  look(overview: Overview): Histograms {
    const fresh = Object.fromEntries(HISTOGRAMS.map((name) => [name, overview.bounds[name].map(() => 0).concat(0)]));
    const known = new Map<string, { node: Node; rates: Rates | null }>();
    for (const node of overview.nodes) {
      const before = this.#known.get(node.name);
      const passed = (node.at ?? 0) - (before?.node.at ?? 0);
      // Two replicas answer by turns: what one of them read may be older than what is known.
      if (before && passed <= 0) {
        known.set(node.name, before);
        continue;
      }
      known.set(node.name, { node, rates: before ? ratesOf(before.node, node, passed) : null });
      if (before) for (const name of HISTOGRAMS) grow(fresh[name], node.figures?.[name], before.node.figures?.[name]);
    }
    this.#known = known;
    return fresh as Histograms;
  }

  /** All processes as they were last heard of, with their rates; none at the first look. */
  get nodes(): { node: Node; rates: Rates | null }[] {
    return [...this.#known.values()].sort((a, b) => a.node.url.localeCompare(b.node.url) || a.node.pid - b.node.pid);
  }
}

function ratesOf(before: Node, now: Node, seconds: number): Rates {
  const cpu = (node: Node) => node.figures?.process_cpu_seconds_total ?? 0;
  const rate = (from: number, to: number) => Math.max(0, to - from) / seconds;
  return {
    events: rate(before.events, now.events),
    deliveries: rate(before.deliveries, now.deliveries),
    cpu: rate(cpu(before), cpu(now)),
  };
}

/** Processes of other versions may have other buckets: theirs can't be added. */
function grow(sum: number[] | undefined, now: number[] | undefined, before: number[] | undefined): void {
  if (!sum || now?.length !== sum.length || before?.length !== sum.length) return;
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + Math.max(0, (now[i] ?? 0) - (before[i] ?? 0));
}

/** Add counts up, bucket by bucket. */
export function added(histograms: readonly number[][]): number[] {
  const [first = [], ...others] = histograms;
  return first.map((count, i) => others.reduce((sum, other) => sum + (other[i] ?? 0), count));
}

/** Where a share of all values lies below, in milliseconds, taken evenly within a bucket; null without values. */
export function percentile(bounds: readonly number[], counts: readonly number[], share: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (!total) return null;
  let below = 0;
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i] ?? 0;
    if (count && below + count >= share * total) {
      const from = bounds[i - 1] ?? 0;
      const to = bounds[i] ?? from; // the last has no upper end
      return 1000 * (from + (to - from) * ((share * total - below) / count));
    }
    below += count;
  }
  return null;
}

/** Add counts up over all processes, by name, the largest first. */
export function totals(nodes: readonly Node[], figure: keyof Figures): [name: string, count: number][] {
  const sums: Counts = {};
  for (const node of nodes) {
    for (const [name, count] of Object.entries((node.figures?.[figure] ?? {}) as Counts)) {
      sums[name] = (sums[name] ?? 0) + count;
    }
  }
  return Object.entries(sums).sort((a, b) => b[1] - a[1]);
}

/** Add a figure up over all processes. */
export function total(nodes: readonly Node[], figure: keyof Figures): number {
  return nodes.reduce((sum, node) => sum + Number(node.figures?.[figure] ?? 0), 0);
}
