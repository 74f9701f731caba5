// Every statement that begins with `socket.` is a mistake that must not compile: plain socket.io-client with the types.
import { io, type Socket } from "socket.io-client";
import type { Emitters, Listeners } from "pytake-realtime-client";

const socket: Socket<Listeners, Emitters> = io("https://gateway.example", { auth: { token: "t" } });
socket.on("mesage:new", () => {});
socket.on("conversation:unread-update", () => {});
socket.on("message:new", (message) => console.log(message.sender));
socket.on("message:status", ({ status }) => console.log(status === "seen"));
socket.on("campaign:progress", (progress: { campaign: string }) => console.log(progress));
socket.emit("join_conversatoin", { conversation_id: "id" });
socket.emit("join_conversation", { conversationId: "id" });
socket.emit("join_conversation", { conversation_id: "id", history: "20" });
socket.emit("presence", {}, (answer) => console.log(answer.online));
socket.emit("auth:refresh");
socket.emit("ping", {});
