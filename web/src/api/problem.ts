import type { TFunction } from "i18next";
import type { components } from "@/api/schema.gen";
import { DescribedError, type Failure, UnreachableError } from "@/lib/described-error";

export type Problem = components["schemas"]["Problem"];

export type ProblemType = Problem["type"];

// Problems that may be gone when the same request is sent again later.
const TEMPORARY: ReadonlySet<ProblemType> = new Set<ProblemType>([
  "/problems/agent-offline",
  "/problems/agent-unanswered",
  "/problems/agent-timed-out",
  "/problems/agent-busy",
  "/problems/busy",
  "/problems/too-many-attempts",
  "/problems/request-timeout",
  "/problems/audit-unavailable",
  "/problems/dependency-unavailable",
  "/problems/internal-error",
]);

// The gateway, or a proxy in front of it, answered with an error.
export class ApiError extends DescribedError {
  override readonly name = "ApiError";
  readonly status: number;
  // Null if a proxy answered instead of the gateway.
  readonly type: ProblemType | null;
  readonly requestId: string | null;
  readonly fields: ReadonlyMap<string, string>;
  // Seconds to wait before another attempt; null if the server did not say.
  readonly retryAfter: number | null;
  // Completes a log-in with a code; null for other problems.
  readonly challenge: string | null;

  constructor(problem: Partial<Problem>, response: Response) {
    super(problem.detail ?? problem.title ?? response.statusText);
    this.status = response.status;
    this.type = problem.type ?? null;
    this.challenge = problem.challenge ?? null;
    this.requestId = problem.request_id ?? response.headers.get("X-Request-Id");
    this.fields = new Map((problem.errors ?? []).map(({ field, message }) => [field, message]));
    const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
    this.retryAfter = Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null;
  }

  override describe(t: TFunction): Failure {
    if (isUnreachable(this)) return new UnreachableError(this.message).describe(t);
    return { ...describeAnswer(this, t), why: this.message, requestId: this.requestId };
  }
}

// The text key for each type of problem.
const TEXTS = {
  "/problems/unauthenticated": "unauthorized",
  "/problems/wrong-credentials": "unauthorized",
  "/problems/second-factor-required": "unauthorized",
  "/problems/wrong-code": "invalid",
  "/problems/invalid-ticket": "unauthorized",
  "/problems/forbidden": "forbidden",
  "/problems/not-found": "notFound",
  "/problems/already-ended": "conflict",
  "/problems/already-exists": "conflict",
  "/problems/limit-reached": "conflict",
  "/problems/still-needed": "stillNeeded",
  "/problems/invalid-invitation": "invitation",
  "/problems/file-changed": "conflict",
  "/problems/upload-bytes-missing": "conflict",
  "/problems/upload-too-long": "conflict",
  "/problems/agent-conflict": "conflict",
  "/problems/agent-cancelled": "conflict",
  "/problems/malformed-request": "invalid",
  "/problems/validation": "invalid",
  "/problems/payload-too-large": "invalid",
  "/problems/headers-too-large": "invalid",
  "/problems/unsupported-media-type": "invalid",
  "/problems/file-not-text": "invalid",
  "/problems/file-too-large-to-edit": "invalid",
  "/problems/agent-invalid": "invalid",
  "/problems/agent-too-large": "invalid",
  "/problems/method-not-allowed": "server",
  "/problems/range-not-satisfiable": "server",
  "/problems/request-timeout": "server",
  "/problems/audit-unavailable": "audit",
  "/problems/dependency-unavailable": "server",
  "/problems/internal-error": "server",
  "/problems/too-many-attempts": "throttled",
  "/problems/busy": "agent.busy",
  "/problems/agent-busy": "agent.busy",
  "/problems/agent-offline": "agent.offline",
  "/problems/agent-unanswered": "agent.noAnswer",
  "/problems/agent-timed-out": "agent.timedOut",
  "/problems/agent-failed": "agent.failed",
  "/problems/agent-unavailable": "agent.unavailable",
  "/problems/agent-forbidden": "agent.forbidden",
  "/problems/agent-not-found": "agent.notFound",
} as const satisfies Record<ProblemType, string>;

function describeAnswer(
  { type, retryAfter }: ApiError,
  t: TFunction,
): Pick<Failure, "what" | "todo"> {
  return describeProblem(type ?? "/problems/internal-error", t, retryAfter);
}

// Says what a type of problem means, and what to do.
export function describeProblem(
  type: ProblemType,
  t: TFunction,
  retryAfter: number | null = null,
): Pick<Failure, "what" | "todo"> {
  const text = TEXTS[type] ?? "server";
  if (text === "throttled") {
    const todo = t("failure.throttled.todo", { seconds: retryAfter ?? 60 });
    return { what: t("failure.throttled.what"), todo };
  }
  return t(`failure.${text}`, { returnObjects: true });
}

// Proxies answer with these statuses while the gateway is away.
const GATEWAY_AWAY = new Set([502, 503, 504]);

export function isProblem(error: unknown, ...types: ProblemType[]): error is ApiError {
  return error instanceof ApiError && error.type !== null && types.includes(error.type);
}

export function isUnreachable(error: unknown): boolean {
  if (!(error instanceof ApiError)) return error instanceof UnreachableError;
  if (error.type === null) return GATEWAY_AWAY.has(error.status);
  return error.type === "/problems/dependency-unavailable";
}

// True if another attempt later may succeed.
export function isTemporary(error: unknown): boolean {
  if (!(error instanceof ApiError)) return error instanceof UnreachableError;
  if (error.type === null) return error.status >= 500 || error.status === 429;
  return TEMPORARY.has(error.type);
}

export function isNotFound(error: unknown): boolean {
  return isProblem(error, "/problems/not-found", "/problems/agent-not-found");
}

// The messages of an answer that belong to these fields of a form.
export function fieldErrors<Name extends string>(
  error: unknown,
  names: readonly Name[],
): { name: Name; errors: string[] }[] {
  if (!(error instanceof ApiError)) return [];
  return names.flatMap((name) => {
    const message = error.fields.get(name);
    return message === undefined ? [] : [{ name, errors: [message] }];
  });
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

export async function unwrap<T>(answer: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await answer;
  if (!response.ok) {
    throw new ApiError(typeof error === "object" && error !== null ? error : {}, response);
  }
  return data as T;
}
