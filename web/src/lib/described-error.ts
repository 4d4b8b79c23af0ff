import type { TFunction } from "i18next";

export interface Failure {
  what: string;
  why: string;
  todo: string;
  requestId: string | null;
}

// An error that can tell the user what happened, why, and what to do.
export abstract class DescribedError extends Error {
  abstract describe(t: TFunction): Failure;
}

// No answer came: the gateway or the network between is down.
export class UnreachableError extends DescribedError {
  override readonly name: string = "UnreachableError";

  override describe(t: TFunction): Failure {
    return { ...t("failure.unreachable", { returnObjects: true }), requestId: null };
  }
}

export function describeFailure(error: unknown, t: TFunction): Failure {
  if (error instanceof DescribedError) return error.describe(t);
  const why = error instanceof Error ? error.message : String(error);
  return { ...t("failure.console", { returnObjects: true }), why, requestId: null };
}
