import type { UploadChunk, UploadState, UploadTarget } from "@/api/uploads";

// The requests that an uploader makes. Tests replace them.
export interface UploadTransport {
  // What exists at the path.
  look: (target: UploadTarget, signal: AbortSignal) => Promise<"nothing" | "file" | "other">;
  received: (target: UploadTarget, signal: AbortSignal) => Promise<number>;
  send: (
    target: UploadTarget,
    chunk: UploadChunk,
    onSent: (bytes: number) => void,
    signal: AbortSignal,
  ) => Promise<UploadState>;
  checksum: (target: UploadTarget, signal: AbortSignal) => Promise<string>;
  drop: (target: UploadTarget) => Promise<void>;
}

// The path is a folder or device, which an upload does not replace.
export class NotAFileError extends Error {
  override readonly name = "NotAFileError";
}
