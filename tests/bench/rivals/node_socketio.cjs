// Node's socket.io, as its documentation shows it; the argument says how it scales:
// pubsub (redis-adapter), streams (redis-streams-adapter, with connection state recovery) or
// uws (redis-adapter, on uWebSockets.js).
const { createHmac, timingSafeEqual } = require("node:crypto");
const { createServer } = require("node:http");
const { createClient } = require("redis");
const { Server } = require("socket.io");

const { JWT_SECRET_KEY, PORT, REDIS_URL } = process.env;
const kind = process.argv[2];
const RECOVERY = { connectionStateRecovery: { maxDisconnectionDuration: 120_000 } };

function verify(token = "") {
  const [head, body, signature] = token.split(".");
  const expected = createHmac("sha256", JWT_SECRET_KEY).update(`${head}.${body}`).digest();
  if (!timingSafeEqual(expected, Buffer.from(signature, "base64url"))) throw new Error("token_invalid");
  const claims = JSON.parse(Buffer.from(body, "base64url"));
  if (claims.exp * 1000 < Date.now()) throw new Error("token_expired");
  return claims;
}

async function connected(client) {
  client.on("error", console.error);
  return client.connect();
}

async function adapter() {
  const redis = await connected(createClient({ url: REDIS_URL }));
  if (kind === "streams") return require("@socket.io/redis-streams-adapter").createAdapter(redis);
  return require("@socket.io/redis-adapter").createAdapter(redis, await connected(redis.duplicate()));
}

async function listening(options) {
  if (kind === "uws") {
    const app = require("uwebsockets").App();
    const io = new Server(options);
    io.attachApp(app);
    app.listen("127.0.0.1", Number(PORT), () => {});
    return io;
  }
  const http = createServer();
  const io = new Server(http, options);
  http.listen(Number(PORT), "127.0.0.1");
  return io;
}

async function main() {
  const io = await listening({ adapter: await adapter(), ...(kind === "streams" && RECOVERY) });
  io.use((socket, next) => {
    try {
      socket.data.userId = verify(socket.handshake.auth.token).sub;
      next();
    } catch (error) {
      next(error);
    }
  });
  io.on("connection", (socket) => {
    socket.emit("connected", { user_id: socket.data.userId });
    socket.on("join_conversation", ({ conversation_id }) => {
      socket.join(`conversation:${conversation_id}`);
      socket.emit("joined_conversation", { conversation_id });
    });
  });
}

main();
