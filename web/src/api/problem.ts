import type { components } from "@/api/schema.gen";

export type Problem = components["schemas"]["Problem"];

// How the gateway titles what an agent answered, or did not.
const OF_AGENTS = {
  Offline: "offline",
  "No answer": "noAnswer",
  "Timed out": "timedOut",
  "Failed there": "failed",
  "Not available there": "unavailable",
  "Not allowed there": "forbidden",
  "Not found there": "notFound",
  Busy: "busy",
} as const;

type AgentFailure = (typeof OF_AGENTS)[keyof typeof OF_AGENTS];

// The gateway answered, and said no.
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly title: string;
  // What went wrong on the server that was asked for something; null where the gateway itself spoke.
  readonly agentFailure: AgentFailure | null;
  readonly requestId: string | null;
  readonly fields: ReadonlyMap<string, string>;
  // Seconds to wait before another try; null when the server did not say.
  readonly retryAfter: number | null;

  constructor(problem: Partial<Problem>, response: Response) {
    super(problem.detail ?? problem.title ?? response.statusText);
    this.status = response.status;
    this.title = problem.title ?? response.statusText;
    const known = Object.entries(OF_AGENTS).find(([title]) => title === problem.title);
    this.agentFailure = known?.[1] ?? null;
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
    (error instanceof ApiError && GATEWAY_AWAY.has(error.status) && !error.agentFailure)
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
