// @vitest-environment happy-dom
import { act, StrictMode, type ReactNode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { RealtimeClient, type MessageNew } from "../src/index.js";
import { useConversation, usePresence, useRealtime } from "../src/react.js";
import { message, newTenant, publish, token, url, type Tenant } from "./gateway.js";

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

describe.skipIf(!url)("in components, with a running gateway", () => {
  let client: RealtimeClient;
  let other: RealtimeClient;
  let tenant: Tenant;
  let root: Root;
  let page: HTMLElement;

  const render = (node: ReactNode) => act(() => root.render(<StrictMode>{node}</StrictMode>));
  const shown = (text: string) => vi.waitFor(() => act(() => expect(page.textContent).toBe(text)), 5000);

  beforeEach(() => {
    client = new RealtimeClient({ url: url as string });
    other = new RealtimeClient({ url: url as string });
    tenant = newTenant();
    page = document.createElement("div");
    root = createRoot(page);
  });
  afterEach(async () => {
    await act(() => root.unmount());
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
    await render(<Badge n={1} />);
    await shown("online 1");
    const times = connect.mock.calls.length;
    await render(<Badge n={2} />);
    await shown("online 2");
    expect(connect).toHaveBeenCalledTimes(times);
  });

  function Chat({ on = () => {}, reload = () => {} }: { on?: (m: MessageNew) => void; reload?: (why: string) => void }) {
    const { joined, typing, viewers } = useConversation(client, tenant.conversation, { onMessage: on, reload });
    return <p>{`${joined ? "in" : "out"} ${typing.length} ${viewers.length}`}</p>;
  }

  test("a conversation is joined, its messages come once, and to the latest handler", async () => {
    const [first, second] = [vi.fn<() => void>(), vi.fn<(m: MessageNew) => void>()];
    const reload = vi.fn<(why: string) => void>();
    await render(<Chat on={first} reload={reload} />);
    client.connect(token(tenant));
    await shown("in 0 1");
    await render(<Chat on={second} reload={reload} />);
    const sent = message(tenant, "Olá");
    await publish(tenant, "message:new", sent);
    await vi.waitFor(() => expect(second).toHaveBeenCalled());
    expect(second.mock.calls).toEqual([[sent]]);
    expect(first).not.toHaveBeenCalled();
    expect(reload.mock.calls).toEqual([["joined"]]);
  });

  test("who types and who looks is shown", async () => {
    await render(<Chat />);
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
    await render([<Chat key="a" />, <Chat key="b" />]);
    await shown("in 0 1in 0 1");
    leave.mockClear();
    await render([<Chat key="a" />]);
    expect(leave).not.toHaveBeenCalled();
    await render([]);
    expect(leave).toHaveBeenCalledTimes(1);
  });

  test("usePresence shows who is online", async () => {
    const Online = () => <i>{usePresence(client).size}</i>;
    await render(<Online />);
    await shown("0");
    client.connect(token(tenant));
    await shown("1");
    other.connect(token({ ...tenant, user: newTenant().user }));
    await shown("2");
  });
});
