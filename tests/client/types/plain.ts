// What compiles: plain socket.io-client with the types of the events.
import { io, type Socket } from "socket.io-client";
import type { ClientEvents, Emitters, Listeners, ServerEvents } from "pytake-realtime-client";

const socket: Socket<Listeners, Emitters> = io("https://gateway.example", { auth: { token: "t" } });
let last: string | undefined;
socket.on("message:new", (message, offset) => {
  last = offset;
  console.log(message.content.text, message.direction === "inbound", message.sent_at?.length);
});
socket.on("error", ({ code, event, retry_after_ms }) => console.log(code === "rate_limited", event, retry_after_ms));
socket.on("connect", () => console.log(socket.id));
socket.on("connect_error", (error) => console.log(error.message));
socket.emit("join_conversation", { conversation_id: "id", since: last ?? "e-1" }, (answer) => {
  if (!answer.ok) return console.log(answer.error.code === "forbidden");
  for (const past of answer.events) if (past.event === "message:status") console.log(past.data.status);
});
socket.emit("typing_start", { conversation_id: "id" });
socket.emit("ping", (answer) => console.log(answer.ok && answer.timestamp));
socket.emit("ping");
const names: (keyof ServerEvents | keyof ClientEvents)[] = ["notification:new", "auth:refresh"];
console.log(names);
