import { afterEach, expect, test, vi } from "vitest";

import type { NotificationNew } from "../src/events.js";
import { Desktop } from "../src/notifications.js";

const NOTIFICATION: NotificationNew = {
  notification_id: "n1",
  type: "message",
  subject: "Nova mensagem",
  message: "Olá!",
  metadata: null,
  created_at: "2026-11-23T12:00:00Z",
};

// No test's browser has the real one.
const shown: { title: string; options: NotificationOptions; onclick?: () => void; close: () => void }[] = [];
function browserWith(permission: NotificationPermission, construct = true) {
  shown.length = 0;
  class Fake {
    static requestPermission = vi.fn<() => Promise<NotificationPermission>>(async () => permission);
    close = vi.fn<() => void>();
    constructor(
      readonly title: string,
      readonly options: NotificationOptions,
    ) {
      if (!construct) throw new TypeError("Illegal constructor");
      shown.push(this);
    }
  }
  vi.stubGlobal("Notification", Fake);
  return Fake;
}

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

test("nobody is asked before the page wants it, and nothing is shown", () => {
  const fake = browserWith("granted");
  new Desktop().show(NOTIFICATION);
  expect(fake.requestPermission).not.toHaveBeenCalled();
  expect(shown).toEqual([]);
});

test("one that says what a desktop shows is shown so", async () => {
  browserWith("granted");
  vi.spyOn(document, "hasFocus").mockReturnValue(false);
  const desktop = new Desktop();
  await desktop.enable({ icon: "/usual.png" });
  desktop.show(NOTIFICATION);
  const texts = { title: "Maria", body: "Mandou uma mensagem" };
  desktop.show({ ...NOTIFICATION, ...texts, tag: "c1", icon: "/maria.png", url: "/conversations/c1" });
  expect(shown.map(({ title, options }) => [title, options])).toEqual([
    ["Nova mensagem", { body: "Olá!", tag: "n1", icon: "/usual.png" }],
    ["Maria", { body: "Mandou uma mensagem", tag: "c1", icon: "/maria.png" }],
  ]);
});

test("one is shown once for all tabs while the page is not in front", async () => {
  browserWith("granted");
  const focus = vi.spyOn(document, "hasFocus").mockReturnValue(false);
  const onClick = vi.fn<() => void>();
  const desktop = new Desktop();
  expect(await desktop.enable({ onClick })).toBe("granted");
  desktop.show(NOTIFICATION);
  expect(shown).toMatchObject([{ title: "Nova mensagem", options: { body: "Olá!", tag: "n1" } }]);
  shown[0]?.onclick?.();
  expect(onClick).toHaveBeenCalledWith(NOTIFICATION);
  focus.mockReturnValue(true);
  desktop.show(NOTIFICATION);
  expect(shown.length).toBe(1);
});

test("a refusal shows nothing", async () => {
  browserWith("denied");
  const desktop = new Desktop();
  expect(await desktop.enable({ always: true })).toBe("denied");
  desktop.show(NOTIFICATION);
  expect(shown).toEqual([]);
});

test("a browser without them, or that throws, does no harm", async () => {
  const desktop = new Desktop();
  vi.stubGlobal("Notification", undefined);
  expect(await desktop.enable({})).toBe("unsupported");
  browserWith("granted", false);
  await desktop.enable({ always: true });
  expect(() => desktop.show(NOTIFICATION)).not.toThrow();
});
