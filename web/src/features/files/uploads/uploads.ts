import { create } from "zustand";
import { checksumOf, fetchEntry } from "@/api/files";
import { isNotFound } from "@/api/problem";
import { useSession } from "@/api/session";
import { dropUpload, receivedBytes, sendChunk } from "@/api/uploads";
import { hashFile } from "@/features/files/uploads/hashing";
import {
  isEnded,
  next,
  type Upload,
  type UploadEvent,
} from "@/features/files/uploads/upload-queue";
import { Uploader } from "@/features/files/uploads/uploader";
import { useConnection } from "@/live/connection";

// Outlives the page, so that uploads continue while the user looks at other pages.
export const useUploads = create<{ uploads: readonly Upload[] }>(() => ({ uploads: [] }));

export function dispatchUpload(event: UploadEvent): void {
  useUploads.setState(({ uploads }) => ({ uploads: next(uploads, event) }));
}

export const uploader = new Uploader({
  transport: {
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
    send: sendChunk,
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

// Uploads end when their user logs out.
useSession.subscribe(({ phase }, before) => {
  if (phase !== "out" || before.phase === "out") return;
  for (const upload of useUploads.getState().uploads) uploader.cancel(upload.id);
  dispatchUpload({ type: "cleared" });
});

// Closing the page ends the uploads, so the browser asks first.
window.addEventListener("beforeunload", (event) => {
  if (!useUploads.getState().uploads.every(isEnded)) event.preventDefault();
});
