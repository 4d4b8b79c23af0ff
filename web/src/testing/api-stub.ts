import { vi } from "vitest";

type Body = Record<string, unknown> | readonly unknown[];

export interface ApiRequest {
  method: string;
  path: string; // with the query
  body: unknown;
}

type Handler = (request: ApiRequest) => Response | Promise<Response>;

export function json(body: Body, status = 200): Response {
  const type = status < 400 ? "application/json" : "application/problem+json";
  return new Response(JSON.stringify(body), { status, headers: { "Content-Type": type } });
}

export function problem(type: string, status: number, detail = "why"): Response {
  return json({ type: `/problems/${type}`, title: "", status, detail, request_id: "r1" }, status);
}

// Answers the requests of the API client in place of a gateway, and records them. A route is a
// method and a path without its query, for example "GET /vps/v1/files".
export function stubApi(routes: Record<string, Handler | Body>): ApiRequest[] {
  const requests: ApiRequest[] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    const { pathname, search } = new URL(request.url);
    const path = pathname.replace("/api/v1", "");
    const text = await request.clone().text();
    const seen = { method: request.method, path: path + search, body: text && JSON.parse(text) };
    requests.push(seen);
    const route = routes[`${request.method} ${path}`];
    if (route === undefined) return problem("not-found", 404);
    return typeof route === "function" ? route(seen) : json(route);
  });
  return requests;
}
