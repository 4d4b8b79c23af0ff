import createClient from "openapi-fetch";
import { UnreachableError } from "@/api/problem";
import type { paths } from "@/api/schema.gen";

interface Credentials {
  token: () => string | null;
  // Resolves to false when there is no session to renew.
  renew: () => Promise<boolean>;
}

let credentials: Credentials = { token: () => null, renew: async () => false };

export function setCredentials(session: Credentials): void {
  credentials = session;
}

async function send(request: Request): Promise<Response> {
  const token = credentials.token();
  if (token !== null) request.headers.set("Authorization", `Bearer ${token}`);
  try {
    return await fetch(request);
  } catch (cause) {
    if (request.signal.aborted) throw cause;
    throw new UnreachableError("no answer from the server", { cause });
  }
}

export async function authorizedFetch(request: Request): Promise<Response> {
  const again = request.clone();
  const response = await send(request);
  const renewable = !new URL(request.url).pathname.startsWith("/api/v1/auth/");
  if (response.status !== 401 || !renewable || !(await credentials.renew())) return response;
  return send(again);
}

export const api = createClient<paths>({ baseUrl: window.location.origin, fetch: authorizedFetch });
