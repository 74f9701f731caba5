// A thin wrapper around plain socket.io-client, of the kind that PyTake's frontend has: one socket for all pages, and
// nothing remembered. A join before the connection is there is dropped, and none is repeated after a loss.
class SocketClient {
  socket = null;

  /** `options` replace the wrapper's own; PyTake passes none. */
  connect(url, token, options = {}) {
    if (this.socket?.connected) return;
    this.socket = io(url, {
      auth: { token },
      transports: ["websocket", "polling"],
      reconnection: true,
      reconnectionAttempts: 5,
      reconnectionDelay: 1000,
      ...options,
    });
  }

  disconnect() {
    this.socket?.disconnect();
    this.socket = null;
  }

  isConnected() {
    return this.socket?.connected ?? false;
  }

  joinConversation(conversation_id) {
    if (this.isConnected()) this.socket.emit("join_conversation", { conversation_id });
  }

  leaveConversation(conversation_id) {
    if (this.isConnected()) this.socket.emit("leave_conversation", { conversation_id });
  }

  startTyping(conversation_id) {
    if (this.isConnected()) this.socket.emit("typing_start", { conversation_id });
  }

  stopTyping(conversation_id) {
    if (this.isConnected()) this.socket.emit("typing_stop", { conversation_id });
  }

  onNewMessage(callback) {
    this.socket?.on("message:new", callback);
  }

  onMessageStatus(callback) {
    this.socket?.on("message:status", callback);
  }

  onTyping(callback) {
    this.socket?.on("user_typing", callback);
  }

  onUserStatus(callback) {
    this.socket?.on("user:status", callback);
  }

  off(event, callback) {
    this.socket?.off(event, callback);
  }
}

const socketClient = new SocketClient();
