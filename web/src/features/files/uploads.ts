import { create } from "zustand";
import { checksumOf, fetchEntry } from "@/api/files";
import { isNotFound } from "@/api/problem";
import { useSession } from "@/api/session";
import { dropUpload, receivedBytes, sendPart } from "@/api/uploads";
import { hashFile } from "@/features/files/hashing";
import { isEnded, next, type Upload, type UploadEvent } from "@/features/files/upload-queue";
import { Uploader } from "@/features/files/uploader";
import { useConnection } from "@/lib/connection";

// Kept beyond the page that started them, so that one may look elsewhere meanwhile.
export const useUploads = create<{ uploads: readonly Upload[] }>(() => ({ uploads: [] }));

export function dispatchUpload(event: UploadEvent): void {
  useUploads.setState(({ uploads }) => ({ uploads: next(uploads, event) }));
}

export const uploader = new Uploader({
  way: {
    look: async ({ server, path }, signal) => {
      try {
        const { kind } = await fetchEntry(server, path, signal);
        return kind === "file" || kind === "link" ? "file" : "other";
      } catch (error) {
        if (isNotFound(error)) return "nothing";
        throw error;
      }
    },
    received: receivedBytes,
    send: sendPart,
    checksum: ({ server, path }, signal) => checksumOf(server, path, signal),
    drop: dropUpload,
  },
  hash: hashFile,
  queue: () => useUploads.getState().uploads,
  dispatch: dispatchUpload,
});

useConnection.subscribe(({ state }, before) => {
  if (state === "open" && before.state !== "open") uploader.retryNow();
});

// Whoever logs in next has nothing to do with them.
useSession.subscribe(({ phase }, before) => {
  if (phase !== "out" || before.phase === "out") return;
  for (const upload of useUploads.getState().uploads) uploader.cancel(upload.id);
  dispatchUpload({ type: "cleared" });
});

// Leaving the console ends them; the browser asks first.
window.addEventListener("beforeunload", (event) => {
  if (!useUploads.getState().uploads.every(isEnded)) event.preventDefault();
});
