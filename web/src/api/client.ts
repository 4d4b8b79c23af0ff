import createClient from "openapi-fetch";
import { takeEarly } from "@/api/early";
import type { paths } from "@/api/schema.gen";
import { UnreachableError } from "@/lib/described-error";

interface Credentials {
  token: () => string | null;
  // Resolves to false if there is no login session to renew.
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
    return await (takeEarly(request) ?? fetch(request));
  } catch (cause) {
    if (request.signal.aborted) throw cause;
    throw new UnreachableError("no answer from the server", { cause });
  }
}

// These work without an access token, so their refusals are not about one that has expired.
const PUBLIC = /^\/api\/v1\/auth\/(login|login\/factor|logout|refresh|register)$/;

// True if the gateway refused the access token, and not a password in the request.
async function isRefusedToken(response: Response): Promise<boolean> {
  if (response.status !== 401) return false;
  return !(await response.clone().text()).includes("/problems/wrong-credentials");
}

export async function authorizedFetch(request: Request): Promise<Response> {
  const again = request.clone();
  const response = await send(request);
  if (PUBLIC.test(new URL(request.url).pathname) || !(await isRefusedToken(response))) {
    return response;
  }
  return (await credentials.renew()) ? send(again) : response;
}

export const api = createClient<paths>({ baseUrl: window.location.origin, fetch: authorizedFetch });
