// One conversation: index.html#url=…&token=…&conversation=…&options={…}
const page = new URLSearchParams(location.hash.slice(1));
const conversation = page.get("conversation");
const $ = (id) => document.getElementById(id);
const TICKS = { sent: "✓", delivered: "✓✓", read: "✓✓", failed: "!" };

/** Every event as it came, with when, for whoever counts. */
const heard = [];

function show(message) {
  if (document.querySelector(`[data-id="${message.id}"]`)) return;
  const line = document.createElement("li");
  const text = document.createElement("span");
  const ticks = document.createElement("span");
  Object.assign(line.dataset, { id: message.id, direction: message.direction, shown: Date.now() });
  ticks.className = "ticks";
  text.textContent = message.content.text;
  line.append(text, ticks);
  $("messages").append(line);
  if (message.direction === "outbound") tick(message.id, message.status);
}

function tick(id, status) {
  const ticks = document.querySelector(`[data-id="${id}"] .ticks`);
  if (!ticks) return;
  ticks.textContent = TICKS[status];
  ticks.dataset.status = status;
  ticks.setAttribute("aria-label", status);
}

const join = () => socketClient.joinConversation(conversation);

socketClient.connect(page.get("url"), page.get("token"), JSON.parse(page.get("options") ?? "{}"));
const { socket } = socketClient;
socket.onAny((event, data) => heard.push({ event, data, at: Date.now() }));
socket.on("connect", () => ($("connection").textContent = "connected"));
socket.on("disconnect", () => ($("connection").textContent = "disconnected"));
socket.on("connected", ({ user_id }) => ($("me").textContent = user_id));
socket.on("joined_conversation", () => ($("room").textContent = "inside"));
socketClient.onNewMessage(show);
socketClient.onMessageStatus(({ message_id, status }) => tick(message_id, status));
socketClient.onTyping(({ user_id, typing }) => ($("typing").textContent = typing ? `${user_id} is typing` : ""));
if (socketClient.isConnected()) join();
else socket.once("connect", join);

$("text").addEventListener("input", () => socketClient.startTyping(conversation));
$("send").addEventListener("submit", async (submit) => {
  submit.preventDefault();
  const text = $("text").value;
  $("text").value = "";
  socketClient.stopTyping(conversation);
  const body = JSON.stringify({ conversation, text });
  const answer = await fetch("/messages", { method: "POST", body });
  show(await answer.json());
});
