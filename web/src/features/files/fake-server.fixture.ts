import { vi } from "vitest";
import { ApiError } from "@/api/problem";
import type { UploadPart, UploadState } from "@/api/uploads";
import { next, type Upload } from "@/features/files/upload-queue";
import type { UploadWay } from "@/features/files/upload-way";
import { Uploader } from "@/features/files/uploader";

type Answer = () => never | Promise<UploadState>;

export function taken(received_bytes: number, complete = false): UploadState {
  return { received_bytes, complete, sha256: null, entry: null };
}

export function problem(status: number, title = ""): ApiError {
  return new ApiError({ title, detail: title }, new Response(null, { status }));
}

export function failing(error: Error): Answer {
  return () => {
    throw error;
  };
}

// A server as an uploader meets it, and the queue that comes of it.
export class FakeServer {
  queue: readonly Upload[] = [];
  readonly parts: UploadPart[] = [];
  readonly dropped: string[] = [];
  received = 0;
  // What it does with the next parts; with none left it takes them.
  answers: Answer[] = [];
  there: "nothing" | "file" | "other" = "nothing";
  checksum = "";

  readonly #way: UploadWay = {
    look: async () => this.there,
    received: async () => this.received,
    send: async (_target, part, onSent, signal) => {
      this.parts.push(part);
      const answer = this.answers.shift();
      if (answer) return answer();
      signal.throwIfAborted();
      onSent(part.data.size);
      this.received = part.offset + part.data.size;
      return taken(this.received, this.received === part.size);
    },
    checksum: async () => {
      if (this.checksum === "") throw problem(404);
      return this.checksum;
    },
    drop: async ({ uploadId }) => {
      this.dropped.push(uploadId);
    },
  };

  readonly uploader = new Uploader({
    way: this.#way,
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
    return this.parts.map(({ offset, data }) => [offset, data.size]);
  }
}

// As large as it says, without being so.
function fileOf(size: number): File {
  const file = new File([], "file");
  Object.defineProperty(file, "size", { value: size });
  file.slice = (from = 0, to = 0) => ({ size: Math.max(0, Math.min(to, size) - from) }) as Blob;
  return file;
}

export async function settled(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
}
