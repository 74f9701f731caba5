import { describe, expect, test } from "vitest";

import { History } from "./history";
import { added, Fleet, type Node, type Overview, percentile, totals } from "./overview";

const BOUNDS = {
  gateway_delivery_latency_seconds: [0.001, 0.01, 0.1],
  gateway_redis_round_trip_seconds: [0.001],
  gateway_loop_lag_seconds: [0.001],
};

function node(at: number, events: number, counts: number[] = [0, 0, 0, 0], name = "a"): Node {
  const figures = { gateway_delivery_latency_seconds: counts, process_cpu_seconds_total: at / 10 };
  const place = { replica: name, url: "http://a", host: "a", pid: 1, version: "1", ready: true, draining: false };
  return { name, ...place, sockets: 2, rooms: 1, events, deliveries: events * 10, at, figures };
}

function overview(...nodes: Node[]): Overview {
  return { nodes, bounds: BOUNDS };
}

describe("rates", () => {
  test("are those between two words of a process, by its own clock", () => {
    const fleet = new Fleet();
    fleet.look(overview(node(100, 0)));
    expect(fleet.nodes[0]?.rates).toBeNull();
    fleet.look(overview(node(104, 8)));
    expect(fleet.nodes[0]?.rates).toEqual({ events: 2, deliveries: 20, cpu: expect.closeTo(0.1) });
  });

  test("stay while a process has said nothing new, and for what an older answer says", () => {
    const fleet = new Fleet();
    for (const look of [node(100, 0), node(102, 10), node(102, 10), node(101, 5)]) fleet.look(overview(look));
    expect(fleet.nodes[0]?.rates?.events).toBe(5);
  });

  test("of a process that is gone are gone", () => {
    const fleet = new Fleet();
    fleet.look(overview(node(100, 0), node(100, 0, undefined, "b")));
    fleet.look(overview(node(101, 1)));
    expect(fleet.nodes.map((known) => known.node.name)).toEqual(["a"]);
  });

  test("a new process' past is not counted as if it happened now", () => {
    const fleet = new Fleet();
    fleet.look(overview(node(100, 0)));
    const fresh = fleet.look(overview(node(101, 0), node(100, 9000, [9, 9, 9, 9], "b")));
    expect(fresh.gateway_delivery_latency_seconds).toEqual([0, 0, 0, 0]);
  });
});

describe("percentiles", () => {
  test("are taken evenly within a bucket", () => {
    expect(percentile([0.001, 0.01], [0, 10, 0], 0.5)).toBeCloseTo(5.5);
  });

  test("above the last bound give that bound, and without values nothing", () => {
    expect(percentile([0.001, 0.01], [0, 0, 4], 0.99)).toBeCloseTo(10);
    expect(percentile([0.001], [0, 0], 0.5)).toBeNull();
  });

  test("are of the last ten seconds", () => {
    const history = new History();
    history.add(overview(node(0, 0)), 0);
    history.add(overview(node(1, 1, [0, 0, 10, 0])), 1000);
    expect(history.seen.samples.at(-1)?.p50).toBeCloseTo(55);
    history.add(overview(node(20, 2, [10, 0, 10, 0])), 20_000);
    expect(history.seen.samples.at(-1)?.p50).toBeCloseTo(0.5);
  });
});

test("counts with other buckets are left out of a sum", () => {
  const fleet = new Fleet();
  fleet.look(overview(node(100, 0, [0, 0])));
  expect(fleet.look(overview(node(101, 0, [5, 5]))).gateway_delivery_latency_seconds).toEqual([0, 0, 0, 0]);
  expect(
    added([
      [1, 2],
      [3, 4],
    ]),
  ).toEqual([4, 6]);
});

test("counts by name are added up over all processes, the largest first", () => {
  const nodes = [
    { a: 1, b: 2 },
    { b: 3, c: 4 },
  ].map((gateway_limited_total) => ({
    ...node(1, 1),
    figures: { gateway_limited_total },
  }));
  expect(totals(nodes, "gateway_limited_total")).toEqual([
    ["b", 5],
    ["c", 4],
    ["a", 1],
  ]);
});

test("a look that failed is a gap", () => {
  const history = new History();
  history.add(overview(node(0, 0)), 0);
  expect(history.miss(1000).samples.map((sample) => sample.sockets)).toEqual([2, null]);
  expect(history.seen.nodes).toHaveLength(1);
});
