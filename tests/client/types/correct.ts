// What compiles, against the package as it is published.
import { RealtimeClient, RealtimeError, type MessageNew, type ServerEvents } from "pytake-realtime-client";
import { useConversation, usePresence, useRealtime } from "pytake-realtime-client/react";

declare module "pytake-realtime-client" {
  interface ServerEvents {
    "ticket:closed": { ticket_id: string };
  }
}

const client = new RealtimeClient({ url: "https://gateway.example" });
client.connect(async (why) => (why === "refused" ? null : "token"));
const stop: () => void = client.on("message:status", (status) => console.log(status.status === "read"));
stop();
client.on("ticket:closed", ({ ticket_id }) => console.log(ticket_id.length));
client.onNewMessage((message) => console.log(message.content, message satisfies MessageNew));
client.onAuthError((error) => console.log(error instanceof RealtimeError, error.code === "token_expired"));
const joined = await client.joinConversation("id", { history: 20 });
for (const { event, data } of joined.events) if (event === "message:new") console.log(data.sender_type);
const names: (keyof ServerEvents)[] = ["user_typing", "ticket:closed"];
console.log(names, useRealtime(client, "token"), usePresence(client).size);
console.log(useConversation(client, "id", { onMessage: (message) => console.log(message.id) }).typing.length);

// As PyTake's pages use their wrapper, with types of their own.
interface Message {
  id: string;
  organization_id: string;
}
const handleNewMessage = (message: Message) => console.log(message.organization_id);
const handleTyping = (data: any) => console.log(data.typing);
if (!client.isConnected()) client.connect("token");
client.joinConversation("id");
client.onNewMessage(handleNewMessage);
client.onMessageStatus((data: any) => console.log(data.message_id));
client.onTyping(handleTyping);
client.onUserStatus((data: { user_id: string; status: "online" | "offline" }) => console.log(data.user_id));
client.startTyping("id");
client.stopTyping("id");
client.leaveConversation("id");
client.off("message:new", handleNewMessage);
client.off("user_typing", handleTyping);
client.disconnect();
