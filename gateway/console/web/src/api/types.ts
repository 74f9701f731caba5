/** What the gateway answers: gateway/console and gateway/api/models.py. */

export interface Session {
  mode: "dev" | "serve";
  version: string;
  /** Of the process that answered. */
  replica: string;
  /** In `gateway dev` the page is given one; otherwise it is asked for. */
  key: string | null;
  minting: { available: true } | { available: false; reason: MintingReason };
  /** Whether a page of this origin may open sockets. */
  sockets: boolean;
  demo: Demo;
  /** Rooms are `<kind>:<id>`, of these kinds. */
  room_kinds: string[];
  longest_token_s: number;
}

/** `off`: GATEWAY_CONSOLE_TOKENS is not set; `public_keys`: tokens are signed with a key that is not here. */
export type MintingReason = "off" | "public_keys";

export interface Demo {
  organization_id: string;
  conversation_id: string;
  people: { user_id: string; name: string }[];
}

export interface Minted {
  token: string;
  claims: Record<string, unknown> & { exp: number };
}

export interface Receipt {
  offset: string;
  duplicate: boolean;
  queued: boolean;
}
