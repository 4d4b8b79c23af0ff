import { api } from "@/api/client";
import { ApiError, unwrap } from "@/api/problem";
import type { components } from "@/api/schema.gen";
import { renewSession, useSession } from "@/api/session";
import { UnreachableError } from "@/lib/described-error";

export type UploadState = components["schemas"]["Uploaded"];

export interface UploadTarget {
  server: string;
  path: string;
  uploadId: string;
}

export interface UploadChunk {
  offset: number;
  size: number;
  sha256: string | null; // of the whole file; verified when it is complete
  overwrite: boolean;
  data: Blob;
}

function addressOf({ server, path, uploadId }: UploadTarget, chunk: UploadChunk): string {
  const url = new URL(`/api/v1/vps/${server}/files/upload`, window.location.href);
  url.search = new URLSearchParams({
    path,
    upload_id: uploadId,
    offset: String(chunk.offset),
    size: String(chunk.size),
    overwrite: String(chunk.overwrite),
    ...(chunk.sha256 !== null && { sha256: chunk.sha256 }),
  }).toString();
  return url.href;
}

interface Answer {
  status: number;
  response: Response;
}

// Uses XMLHttpRequest, because fetch does not report the progress of an upload.
function send(
  address: string,
  data: Blob,
  onSent: (bytes: number) => void,
  signal: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const abort = () => request.abort();
    const end = (settle: () => void) => () => {
      signal.removeEventListener("abort", abort);
      settle();
    };
    request.open("POST", address);
    const token = useSession.getState().accessToken;
    if (token !== null) request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.upload.onprogress = ({ loaded, total }) => {
      if (total > 0) onSent(data.size * (loaded / total));
    };
    request.onload = end(() => {
      const headers = new Headers();
      for (const name of ["Retry-After", "X-Request-Id"]) {
        const value = request.getResponseHeader(name);
        if (value !== null) headers.set(name, value);
      }
      const { status, statusText, responseText } = request;
      resolve({ status, response: new Response(responseText, { status, statusText, headers }) });
    });
    request.onerror = end(() => reject(new UnreachableError("no answer from the server")));
    request.onabort = end(() => reject(signal.reason));
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    signal.addEventListener("abort", abort);
    const form = new FormData();
    form.append("data", data, "data");
    request.send(form);
  });
}

// Send a chunk of a file. Returns how many bytes the server has afterwards.
export async function sendChunk(
  target: UploadTarget,
  chunk: UploadChunk,
  onSent: (bytes: number) => void,
  signal: AbortSignal,
): Promise<UploadState> {
  const address = addressOf(target, chunk);
  let answer = await send(address, chunk.data, onSent, signal);
  if (answer.status === 401 && (await renewSession())) {
    answer = await send(address, chunk.data, onSent, signal);
  }
  const { response } = answer;
  const body: unknown = await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(body as object, response);
  return body as UploadState;
}

export async function receivedBytes(target: UploadTarget, signal: AbortSignal): Promise<number> {
  const { server, path, uploadId } = target;
  const params = { path: { vps_id: server }, query: { path, upload_id: uploadId } };
  const { received_bytes } = await unwrap(
    api.GET("/api/v1/vps/{vps_id}/files/upload", { params, signal }),
  );
  return received_bytes;
}

export async function dropUpload({ server, path, uploadId }: UploadTarget): Promise<void> {
  const params = { path: { vps_id: server }, query: { path, upload_id: uploadId } };
  await unwrap(api.DELETE("/api/v1/vps/{vps_id}/files/upload", { params }));
}
