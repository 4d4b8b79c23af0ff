import type { components } from "@/api/schema.gen";

export type Problem = components["schemas"]["Problem"];

// The gateway answered, and said no.
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly title: string;
  readonly requestId: string | null;
  readonly fields: ReadonlyMap<string, string>;
  // Seconds to wait before another try; null when the server did not say.
  readonly retryAfter: number | null;

  constructor(problem: Partial<Problem>, response: Response) {
    super(problem.detail ?? problem.title ?? response.statusText);
    this.status = response.status;
    this.title = problem.title ?? response.statusText;
    this.requestId = problem.request_id ?? response.headers.get("X-Request-Id");
    this.fields = new Map((problem.errors ?? []).map(({ field, message }) => [field, message]));
    const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
    this.retryAfter = Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null;
  }
}

// No answer came: the gateway is down, or the network between is.
export class UnreachableError extends Error {
  override readonly name = "UnreachableError";
}

// Proxies in front of the gateway answer with these when it is away.
const GATEWAY_AWAY = new Set([502, 503, 504]);

export function isUnreachable(error: unknown): boolean {
  return (
    error instanceof UnreachableError ||
    (error instanceof ApiError && GATEWAY_AWAY.has(error.status))
  );
}

export function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404;
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

export async function answered<T>(answer: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await answer;
  if (!response.ok) {
    throw new ApiError(typeof error === "object" && error !== null ? error : {}, response);
  }
  return data as T;
}
