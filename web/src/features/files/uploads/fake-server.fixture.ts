import { vi } from "vitest";
import { ApiError, type ProblemType } from "@/api/problem";
import type { UploadChunk, UploadState } from "@/api/uploads";
import { next, type Upload } from "@/features/files/uploads/upload-queue";
import type { UploadTransport } from "@/features/files/uploads/upload-transport";
import { Uploader } from "@/features/files/uploads/uploader";

type Answer = () => never | Promise<UploadState>;

export function accepted(received_bytes: number, complete = false): UploadState {
  return { received_bytes, complete, sha256: null, entry: null };
}

export function problem(status: number, type?: ProblemType): ApiError {
  return new ApiError(type ? { type } : {}, new Response(null, { status }));
}

export function failing(error: Error): Answer {
  return () => {
    throw error;
  };
}

// A server for the uploader, and the resulting queue.
export class FakeServer {
  queue: readonly Upload[] = [];
  readonly chunks: UploadChunk[] = [];
  readonly dropped: string[] = [];
  received = 0;
  // The answers to the next chunks. Without any left, chunks are accepted.
  answers: Answer[] = [];
  there: "nothing" | "file" | "other" = "nothing";
  checksum = "";

  readonly #transport: UploadTransport = {
    look: async () => this.there,
    received: async () => this.received,
    send: async (_target, chunk, onSent, signal) => {
      this.chunks.push(chunk);
      const answer = this.answers.shift();
      if (answer) return answer();
      signal.throwIfAborted();
      onSent(chunk.data.size);
      this.received = chunk.offset + chunk.data.size;
      return accepted(this.received, this.received === chunk.size);
    },
    checksum: async () => {
      if (this.checksum === "") throw problem(404, "/problems/agent-not-found");
      return this.checksum;
    },
    drop: async ({ uploadId }) => {
      this.dropped.push(uploadId);
    },
  };

  readonly uploader = new Uploader({
    transport: this.#transport,
    hash: () => ({ sha256: Promise.resolve("abc"), stop: () => undefined }),
    queue: () => this.queue,
    dispatch: (event) => {
      this.queue = next(this.queue, event);
    },
    random: () => 1,
  });

  async add(...sizes: number[]): Promise<void> {
    this.uploader.add("server", "/tmp", sizes.map(fileOf));
    await settled();
  }

  get id(): string {
    return this.queue[0]?.id ?? "";
  }

  get phases(): string[] {
    return this.queue.map(({ phase }) => phase);
  }

  get offsets(): number[][] {
    return this.chunks.map(({ offset, data }) => [offset, data.size]);
  }
}

// A file that reports a size without holding that many bytes.
function fileOf(size: number): File {
  const file = new File([], "file");
  Object.defineProperty(file, "size", { value: size });
  file.slice = (from = 0, to = 0) => ({ size: Math.max(0, Math.min(to, size) - from) }) as Blob;
  return file;
}

export async function settled(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
}
