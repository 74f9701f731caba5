import { expect, test } from "vitest";

import type { UserStatus } from "../src/events.js";
import { People } from "../src/people.js";

test("single changes, many at once and snapshots are one, and told where something changed", () => {
  const told: UserStatus[] = [];
  const people = new People((status) => told.push(status));
  people.changed({ user_id: "a", status: "online" });
  people.changed({ user_id: "a", status: "online" });
  people.changedTogether({ online: ["a", "b"], offline: ["c"] });
  people.snapshot(["b", "d"]);
  expect(told.map(({ user_id, status }) => `${user_id} ${status}`)).toEqual([
    "a online",
    "b online",
    "a offline",
    "d online",
  ]);
  expect(people.online()).toEqual(["b", "d"]);
});
