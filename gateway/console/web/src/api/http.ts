/** Questions to the gateway, as JSON; the key goes along as the HTTP API wants it. */

export class ApiError extends Error {
  constructor(
    /** As in the gateway's table of codes; `offline` where nobody answered. */
    readonly code: string,
    message: string,
    readonly status = 0,
    /** What is wrong with which field. */
    readonly fields: { field: string; message: string }[] = [],
  ) {
    super(message);
  }
}

type Query = Record<string, string | number | boolean | undefined>;

export interface Http {
  get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T>;
  post<T>(path: string, body: unknown): Promise<T>;
  /** An answer that goes on and on. */
  open(path: string, query: Query, signal: AbortSignal): Promise<Response>;
}

/** `refused` is told when the key is no good (any more). */
export function httpWith(key: string | null, refused: () => void = () => {}): Http {
  const headers: Record<string, string> = key === null ? {} : { Authorization: `Bearer ${key}` };

  async function ask(path: string, query: Query | undefined, init: RequestInit): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(path + encoded(query), { ...init, headers: { ...headers, ...init.headers } });
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new ApiError("offline", "the gateway does not answer");
    }
    if (response.ok) return response;
    if (response.status === 401) refused();
    throw await refusal(response);
  }

  return {
    get: async (path, query, signal) => (await ask(path, query, signal ? { signal } : {})).json(),
    post: async (path, body) => {
      const init = { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
      return (await ask(path, undefined, init)).json();
    },
    open: (path, query, signal) => ask(path, query, { signal }),
  };
}

async function refusal(response: Response): Promise<ApiError> {
  const said = (await response.json().catch(() => ({}))) as Partial<{
    code: string;
    message: string;
    errors: ApiError["fields"];
  }>;
  // A proxy between says 502 or 504 in its own words.
  const code = said.code ?? (response.status >= 502 ? "offline" : "internal");
  return new ApiError(code, said.message ?? response.statusText, response.status, said.errors);
}

function encoded(query: Query = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  return given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : "";
}
