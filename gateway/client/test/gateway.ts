// A running gateway, as the caller says by environment variables: tests/client runs these tests with one.
import { createHmac, randomUUID } from "node:crypto";

const { GATEWAY_URL, GATEWAY_API_KEY = "", JWT_SECRET_KEY = "" } = process.env;

export const url = GATEWAY_URL;

export interface Tenant {
  organization: string;
  user: string;
  conversation: string;
}

export function newTenant(): Tenant {
  return { organization: randomUUID(), user: randomUUID(), conversation: randomUUID() };
}

export function token({ organization, user }: Tenant): string {
  const exp = Math.floor(Date.now() / 1000) + 900;
  const parts = [
    { alg: "HS256", typ: "JWT" },
    { sub: user, organization_id: organization, exp },
  ];
  const text = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${text}.${createHmac("sha256", JWT_SECRET_KEY).update(text).digest("base64url")}`;
}

export async function publish({ organization, conversation }: Tenant, event: string, data: object): Promise<void> {
  const answer = await fetch(`${GATEWAY_URL}/api/v1/events`, {
    method: "POST",
    headers: { Authorization: `Bearer ${GATEWAY_API_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify({ organization_id: organization, event, data, to: [`conversation:${conversation}`] }),
  });
  if (!answer.ok) throw new Error(await answer.text());
}

export function message({ conversation }: Tenant, text: string) {
  return { id: randomUUID(), conversation_id: conversation, content: { text } };
}
