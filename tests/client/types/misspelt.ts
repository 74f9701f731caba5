// Every statement is a mistake that must not compile.
import { RealtimeClient } from "pytake-realtime-client";

const client = new RealtimeClient();
client.on("mesage:new", () => {});
client.off("typing_start");
client.on("message:status", (status) => console.log(status.messageId));
client.on("user:status", (status) => console.log(status.status === "away"));
client.joinConversation("id", { sinse: "e-1" });
client.connect(() => 42);
