/** Ids and rooms as the gateway takes them: publisher/rooms.py. */

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;
const USER = /^[A-Za-z0-9][A-Za-z0-9._|@+-]{0,127}$/;
const SEQ_PER_MS = 1000;

export function isUuid(text: string): boolean {
  return UUID.test(text);
}

export function isUser(text: string): boolean {
  return USER.test(text);
}

export function isRoom(text: string): boolean {
  const [kind, id] = parts(text);
  return kind === "user" ? isUser(id) : /^[a-z][a-z0-9_]{0,31}$/.test(kind) && isUuid(id);
}

/** A room's kind and id; without a kind it is all id. */
export function parts(room: string): [kind: string, id: string] {
  const colon = room.indexOf(":");
  return colon < 0 ? ["", room] : [room.slice(0, colon), room.slice(colon + 1)];
}

/** When Redis took an event, which its offset holds; null for none. */
export function timeOf(offset: string): number | null {
  const seq = Number(offset.split("-")[1]);
  return Number.isFinite(seq) ? seq / SEQ_PER_MS : null;
}

/** Without TLS, on another address than this machine's, a browser has no `randomUUID`. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}
