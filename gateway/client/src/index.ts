export { RealtimeClient, type Gap, type LocalEvents, type RealtimeOptions } from "./client.js";
export type { ConnectionOptions, State, TokenProvider, TokenReason } from "./connection.js";
export { RealtimeError, type LocalCode } from "./errors.js";
export type * from "./events.js";
export type { DesktopOptions, DesktopPermission } from "./notifications.js";
