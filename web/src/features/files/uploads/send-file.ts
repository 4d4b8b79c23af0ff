import { isNotFound } from "@/api/problem";
import type { UploadTarget } from "@/api/uploads";
import { joined } from "@/features/files/paths";
import type { Hashing } from "@/features/files/uploads/hashing";
import type { Upload, UploadEvent } from "@/features/files/uploads/upload-queue";
import { NotAFileError, type UploadTransport } from "@/features/files/uploads/upload-transport";

// The state of a file's upload between two attempts to send it.
export interface UploadJob {
  file: Blob;
  hashing: Hashing | null;
  abort: AbortController | null;
  timer: ReturnType<typeof setTimeout> | undefined;
  // True once the server may hold a part of the file.
  begun: boolean;
  // True once the server may hold all of it.
  whole: boolean;
  failures: number;
  lastProgress: number; // ms since the epoch
}

interface Options {
  transport: UploadTransport;
  hash: (file: Blob) => Hashing;
  dispatch: (event: UploadEvent) => void;
}

const CHUNK_SIZE = 32 * 1024 * 1024; // bytes of one request
const MAX_STALLS = 3; // answers in a row without progress

export function targetOf({ id, server, folder, name }: Upload): UploadTarget {
  return { server, path: joined(folder, name), uploadId: id };
}

// Send a file in chunks, from where the server already has it, until it is complete or until the
// user must decide whether to replace an existing file.
export async function sendFile(
  upload: Upload,
  job: UploadJob,
  { transport, hash, dispatch }: Options,
  signal: AbortSignal,
): Promise<void> {
  const target = targetOf(upload);
  const { id, size, overwrite } = upload;
  if (!overwrite && !job.begun) {
    const existing = await transport.look(target, signal);
    if (existing === "other") throw new NotAFileError(target.path);
    if (existing === "file") {
      dispatch({ type: "exists", id });
      return;
    }
  }
  job.hashing ??= hash(job.file);
  const { sha256 } = job.hashing;
  let offset = job.begun ? await transport.received(target, signal) : 0;
  if (job.whole && offset === 0 && (await isInPlace(transport, target, sha256, signal))) {
    dispatch({ type: "done", id });
    return;
  }
  for (let stalls = 0; stalls < MAX_STALLS; ) {
    const data = job.file.slice(offset, offset + CHUNK_SIZE);
    const last = offset + data.size >= size;
    const from = offset;
    const digest = last ? await sha256 : null;
    signal.throwIfAborted();
    job.begun = true;
    job.whole ||= last;
    const onSent = (bytes: number) => {
      job.lastProgress = Date.now();
      dispatch({ type: "moved", id, sent: from + bytes, at: Date.now() });
      if (last && from + bytes >= size) dispatch({ type: "sentAll", id });
    };
    const chunk = { offset, size, sha256: digest, overwrite, data };
    const state = await transport.send(target, chunk, onSent, signal);
    job.failures = 0;
    if (state.complete) {
      dispatch({ type: "done", id });
      return;
    }
    stalls = state.received_bytes > offset ? 0 : stalls + 1;
    offset = state.received_bytes;
    dispatch({ type: "moved", id, sent: offset, at: Date.now() });
  }
  throw new Error("The server accepts no more of this file.");
}

// True if the file is complete on the server and only the last answer was lost.
async function isInPlace(
  transport: UploadTransport,
  target: UploadTarget,
  sha256: Promise<string>,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    return (await transport.checksum(target, signal)) === (await sha256);
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
