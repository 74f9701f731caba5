// @vitest-environment happy-dom
import { StrictMode, type ReactNode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { RealtimeClient, type MessageNew } from "../src/index.js";
import { useConversation, usePresence, useRealtime } from "../src/react.js";
import { message, newTenant, publish, token, url, type Tenant } from "./gateway.js";

const eventually = (seen: () => void) => vi.waitFor(seen, { timeout: 20_000 });

describe.skipIf(!url)("in components, with a running gateway", () => {
  let client: RealtimeClient;
  let other: RealtimeClient;
  let tenant: Tenant;
  let root: Root;
  let page: HTMLElement;

  const render = (node: ReactNode) => root.render(<StrictMode>{node}</StrictMode>);
  const shown = (text: string) => eventually(() => expect(page.textContent).toBe(text));

  beforeEach(() => {
    client = new RealtimeClient({ url: url as string });
    other = new RealtimeClient({ url: url as string });
    tenant = newTenant();
    page = document.createElement("div");
    root = createRoot(page);
  });
  afterEach(() => {
    root.unmount();
    client.disconnect();
    other.disconnect();
  });

  test("useRealtime connects once, and shows the state", async () => {
    const connect = vi.spyOn(client, "connect");
    const Badge = ({ n }: { n: number }) => (
      <b>
        {useRealtime(client, async () => token(tenant))} {n}
      </b>
    );
    render(<Badge n={1} />);
    await shown("online 1");
    const times = connect.mock.calls.length;
    render(<Badge n={2} />);
    await shown("online 2");
    expect(connect).toHaveBeenCalledTimes(times);
  });

  type Shown = { on?: (m: MessageNew) => void; reload?: (why: string) => void; label?: string };
  function Chat({ on = () => {}, reload = () => {}, label = "" }: Shown) {
    const { joined, typing, viewers } = useConversation(client, tenant.conversation, { onMessage: on, reload });
    return <p>{`${joined ? "in" : "out"} ${typing.length} ${viewers.length}${label}`}</p>;
  }

  test("a conversation is joined, its messages come once, and to the latest handler", async () => {
    const [first, second] = [vi.fn<() => void>(), vi.fn<(m: MessageNew) => void>()];
    const reload = vi.fn<(why: string) => void>();
    render(<Chat on={first} reload={reload} />);
    client.connect(token(tenant));
    await shown("in 0 1");
    render(<Chat on={second} reload={reload} label=" again" />);
    await shown("in 0 1 again");
    const sent = message(tenant, "Olá");
    await publish(tenant, "message:new", sent);
    await eventually(() => expect(second).toHaveBeenCalled());
    expect(second.mock.calls).toEqual([[sent]]);
    expect(first).not.toHaveBeenCalled();
    expect(reload.mock.calls).toEqual([["joined"]]);
  });

  test("who types and who looks is shown", async () => {
    render(<Chat />);
    client.connect(token(tenant));
    await shown("in 0 1");
    other.connect(token({ ...tenant, user: newTenant().user }));
    await other.joinConversation(tenant.conversation);
    await shown("in 0 2");
    other.startTyping(tenant.conversation);
    await shown("in 1 2");
    other.stopTyping(tenant.conversation);
    await shown("in 0 2");
  });

  test("two components share a conversation, and the last one leaves it", async () => {
    const leave = vi.spyOn(client, "leaveConversation");
    client.connect(token(tenant));
    render([<Chat key="a" />, <Chat key="b" />]);
    await shown("in 0 1in 0 1");
    leave.mockClear();
    render([<Chat key="a" />]);
    await shown("in 0 1");
    expect(leave).not.toHaveBeenCalled();
    render([]);
    await eventually(() => expect(leave).toHaveBeenCalled());
    expect(leave).toHaveBeenCalledTimes(1);
  });

  test("usePresence shows who is online", async () => {
    const Online = () => <i>{usePresence(client).size}</i>;
    render(<Online />);
    await shown("0");
    client.connect(token(tenant));
    await shown("1");
    other.connect(token({ ...tenant, user: newTenant().user }));
    await shown("2");
  });
});
