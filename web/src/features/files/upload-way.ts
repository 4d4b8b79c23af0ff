import { ApiError, UnreachableError } from "@/api/problem";
import type { UploadPart, UploadState, UploadTarget } from "@/api/uploads";

// The way to the servers.
export interface UploadWay {
  // What is there under that name.
  look: (target: UploadTarget, signal: AbortSignal) => Promise<"nothing" | "file" | "other">;
  received: (target: UploadTarget, signal: AbortSignal) => Promise<number>;
  send: (
    target: UploadTarget,
    part: UploadPart,
    onSent: (bytes: number) => void,
    signal: AbortSignal,
  ) => Promise<UploadState>;
  checksum: (target: UploadTarget, signal: AbortSignal) => Promise<string>;
  drop: (target: UploadTarget) => Promise<void>;
}

// The name is taken by a folder or device, which an upload does not replace.
export class NotAFileError extends Error {
  override readonly name = "NotAFileError";
}

// Whether it is worth waiting for, rather than a refusal.
export function isPassing(error: unknown): boolean {
  if (error instanceof UnreachableError) return true;
  if (!(error instanceof ApiError)) return false;
  const { status, agentFailure } = error;
  if (agentFailure) return ["offline", "noAnswer", "timedOut", "busy"].includes(agentFailure);
  return status === 429 || status >= 500;
}
