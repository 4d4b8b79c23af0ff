import { ApiError, isProblem, isTemporary } from "@/api/problem";
import type { UploadTarget } from "@/api/uploads";
import type { Hashing } from "@/features/files/uploads/hashing";
import { sendFile, targetOf, type UploadJob } from "@/features/files/uploads/send-file";
import {
  startable,
  type Upload,
  type UploadEvent,
  uploadOf,
} from "@/features/files/uploads/upload-queue";
import type { UploadTransport } from "@/features/files/uploads/upload-transport";
import { retryDelay } from "@/live/socket";

interface UploaderOptions {
  transport: UploadTransport;
  hash: (file: Blob) => Hashing;
  queue: () => readonly Upload[];
  dispatch: (event: UploadEvent) => void;
  random?: () => number;
}

export const MAX_WAITING = 1_000; // files
const GIVE_UP_AFTER = 10 * 60_000; // ms without progress
const LATE_CHUNK_DELAY = 5_000; // ms

function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function newJob(file: Blob): UploadJob {
  return {
    file,
    hashing: null,
    abort: null,
    timer: undefined,
    begun: false,
    whole: false,
    failures: 0,
    lastProgress: 0,
  };
}

// Works through the queue of uploads, and reports what happens to each file as events.
export class Uploader {
  readonly #options: UploaderOptions;
  readonly #jobs = new Map<string, UploadJob>();

  constructor(options: UploaderOptions) {
    this.#options = options;
  }

  // Add files to the queue; returns how many did not fit.
  add(server: string, folder: string, files: readonly File[]): number {
    const room = Math.max(0, MAX_WAITING - this.#jobs.size);
    const uploads = files.slice(0, room).map((file) => {
      const id = randomId();
      this.#jobs.set(id, newJob(file));
      return uploadOf({ id, server, folder, name: file.name, size: file.size });
    });
    this.#options.dispatch({ type: "added", uploads });
    this.#startNext();
    return files.length - uploads.length;
  }

  pause(id: string): void {
    this.#options.dispatch({ type: "paused", id });
    this.#interrupt(id);
  }

  resume(id: string): void {
    this.#options.dispatch({ type: "resumed", id });
    this.#startNext();
  }

  replace(id: string): void {
    this.#options.dispatch({ type: "replaced", id });
    this.#startNext();
  }

  cancel(id: string): void {
    const upload = this.#upload(id);
    const begun = this.#jobs.get(id)?.begun;
    this.#options.dispatch({ type: "cancelled", id });
    this.#interrupt(id);
    this.#forget(id);
    if (upload && begun) this.#drop(targetOf(upload));
  }

  // A chunk that is still on its way may create the partial file again, so it is dropped twice.
  // The server deletes old partial files by itself, so a failure here does no harm.
  #drop(target: UploadTarget): void {
    const drop = () => void this.#options.transport.drop(target).catch(() => undefined);
    drop();
    setTimeout(drop, LATE_CHUNK_DELAY);
  }

  // Retry at once every upload that waits for a lost connection.
  retryNow(): void {
    for (const { id, phase } of this.#options.queue()) {
      if (phase === "retrying") this.#start(id);
    }
  }

  #upload(id: string): Upload | undefined {
    return this.#options.queue().find((one) => one.id === id);
  }

  #startNext(): void {
    const next = () => startable(this.#options.queue());
    for (let one = next(); one; one = next()) this.#start(one.id);
  }

  #start(id: string): void {
    const job = this.#jobs.get(id);
    if (!job) return;
    clearTimeout(job.timer);
    this.#options.dispatch({ type: "started", id });
    job.abort = new AbortController();
    job.lastProgress ||= Date.now();
    void this.#run(id, job, job.abort.signal);
  }

  async #run(id: string, job: UploadJob, signal: AbortSignal): Promise<void> {
    const upload = this.#upload(id);
    try {
      if (upload) await sendFile(upload, job, this.#options, signal);
    } catch (error) {
      if (!signal.aborted && upload) this.#fail(upload, job, error);
    }
    const phase = this.#upload(id)?.phase;
    if (phase === "done" || phase === "cancelled") this.#forget(id);
    this.#startNext();
  }

  #fail(upload: Upload, job: UploadJob, error: unknown): void {
    const { dispatch, random = Math.random } = this.#options;
    const { id } = upload;
    if (isTemporary(error) && Date.now() - job.lastProgress < GIVE_UP_AFTER) {
      job.failures += 1;
      const asked = error instanceof ApiError ? (error.retryAfter ?? 0) * 1000 : 0;
      const delay = Math.max(asked, retryDelay(job.failures, random));
      dispatch({ type: "lost", id, retryAt: Date.now() + delay, error });
      job.timer = setTimeout(() => this.#start(id), delay);
      return;
    }
    job.lastProgress = 0;
    job.failures = 0;
    const exists = isProblem(error, "/problems/already-exists", "/problems/agent-conflict");
    if (exists && !upload.overwrite && job.whole) {
      dispatch({ type: "exists", id });
      return;
    }
    // The local file may have changed, so another attempt reads it again.
    job.hashing?.stop();
    job.hashing = null;
    dispatch({ type: "failed", id, error });
  }

  #interrupt(id: string): void {
    const job = this.#jobs.get(id);
    if (!job) return;
    clearTimeout(job.timer);
    job.lastProgress = 0;
    job.abort?.abort();
    this.#startNext();
  }

  #forget(id: string): void {
    this.#jobs.get(id)?.hashing?.stop();
    this.#jobs.delete(id);
  }
}
