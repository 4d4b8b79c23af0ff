import type { TFunction } from "i18next";
import { ApiError, isUnreachable } from "@/api/problem";

export interface Failure {
  what: string;
  why: string;
  todo: string;
  requestId: string | null;
}

export function describeFailure(error: unknown, t: TFunction): Failure {
  if (isUnreachable(error)) {
    const { what, why, todo } = t("failure.unreachable", { returnObjects: true });
    return { what, why, todo, requestId: null };
  }
  if (!(error instanceof ApiError)) {
    const why = error instanceof Error ? error.message : String(error);
    return { ...t("failure.console", { returnObjects: true }), why, requestId: null };
  }
  const { requestId, message: why } = error;
  if (error.agentFailure) {
    return { ...t(`failure.agent.${error.agentFailure}`, { returnObjects: true }), why, requestId };
  }
  switch (error.status) {
    case 401:
      return { ...t("failure.unauthorized", { returnObjects: true }), why, requestId };
    case 403:
      return { ...t("failure.forbidden", { returnObjects: true }), why, requestId };
    case 404:
      return { ...t("failure.notFound", { returnObjects: true }), why, requestId };
    case 409:
      return { ...t("failure.conflict", { returnObjects: true }), why, requestId };
    case 400:
    case 422:
      return { ...t("failure.invalid", { returnObjects: true }), why, requestId };
    case 429: {
      const todo = t("failure.throttled.todo", { seconds: error.retryAfter ?? 60 });
      return { what: t("failure.throttled.what"), why, todo, requestId };
    }
    default:
      return { ...t("failure.server", { returnObjects: true }), why, requestId };
  }
}
