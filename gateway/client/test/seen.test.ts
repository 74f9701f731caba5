import { expect, test } from "vitest";

import { later } from "../src/offsets.js";
import { Seen } from "../src/seen.js";

test("what was seen by any of its keys is not seen first", () => {
  const seen = new Seen();
  expect(seen.first(["offset 1", "id a"], "room")).toBe(true);
  expect(seen.first(["offset 2", "id a"], "room")).toBe(false);
  expect(seen.first(["offset 2"], "room")).toBe(false);
  expect(seen.first(["id b"], "room")).toBe(true);
});

test("what has no key is always new", () => {
  const seen = new Seen();
  expect(seen.first([], "room")).toBe(true);
  expect(seen.first([], "room")).toBe(true);
});

test("a room that was left may be seen again, the others not", () => {
  const seen = new Seen();
  seen.first(["a"], "left");
  seen.first(["b"], "kept");
  seen.forget("left");
  expect(seen.first(["a"], "left")).toBe(true);
  expect(seen.first(["b"], "kept")).toBe(false);
});

test("the oldest are forgotten beyond the limit", () => {
  const seen = new Seen(3);
  for (const key of ["a", "b", "c", "d"]) seen.first([key], "room");
  expect(seen.first(["d"], "room")).toBe(false);
  expect(seen.first(["a"], "room")).toBe(true);
});

test.each([
  [undefined, undefined, undefined],
  ["e-5", undefined, "e-5"],
  [undefined, "e-5", "e-5"],
  ["e-9", "e-10", "e-10"],
  ["e-1790000000000002", "e-1790000000000001", "e-1790000000000002"],
  ["old-9", "new-1", "new-1"],
])("the later one of %s and %s is %s", (a, b, expected) => {
  expect(later(a, b)).toBe(expected);
});
