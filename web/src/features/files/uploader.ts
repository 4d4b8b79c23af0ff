import { ApiError } from "@/api/problem";
import type { UploadTarget } from "@/api/uploads";
import type { Hashing } from "@/features/files/hashing";
import { joined } from "@/features/files/paths";
import { startable, type Upload, type UploadEvent, uploadOf } from "@/features/files/upload-queue";
import { isPassing, NotAFileError, type UploadWay } from "@/features/files/upload-way";
import { retryDelay } from "@/lib/live-socket";

interface Surroundings {
  way: UploadWay;
  hash: (file: Blob) => Hashing;
  queue: () => readonly Upload[];
  dispatch: (event: UploadEvent) => void;
  random?: () => number;
}

interface Job {
  file: Blob;
  hashing: Hashing | null;
  abort: AbortController | null;
  timer: ReturnType<typeof setTimeout> | undefined;
  // Whether the server may have some of it, or all.
  begun: boolean;
  whole: boolean;
  failures: number;
  lastMove: number; // ms since the epoch
}

export const MOST_WAITING = 1_000; // files
const PART = 32 * 1024 * 1024; // bytes of one request
const PATIENCE = 10 * 60_000; // ms without progress before it is given up
const STRAGGLERS = 5_000; // ms
const MOST_STALLS = 3; // answers in a row that had taken nothing

function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Works through the queue; what happens to each file is told as events.
export class Uploader {
  readonly #around: Surroundings;
  readonly #jobs = new Map<string, Job>();

  constructor(around: Surroundings) {
    this.#around = around;
  }

  // Tells how many there was no room for.
  add(server: string, folder: string, files: readonly File[]): number {
    const room = Math.max(0, MOST_WAITING - this.#jobs.size);
    const uploads = files.slice(0, room).map((file) => {
      const id = randomId();
      this.#jobs.set(id, {
        file,
        hashing: null,
        abort: null,
        timer: undefined,
        begun: false,
        whole: false,
        failures: 0,
        lastMove: 0,
      });
      return uploadOf({ id, server, folder, name: file.name, size: file.size });
    });
    this.#around.dispatch({ type: "added", uploads });
    this.#pump();
    return files.length - uploads.length;
  }

  pause(id: string): void {
    this.#around.dispatch({ type: "paused", id });
    this.#interrupt(id);
  }

  resume(id: string): void {
    this.#around.dispatch({ type: "resumed", id });
    this.#pump();
  }

  replace(id: string): void {
    this.#around.dispatch({ type: "replaced", id });
    this.#pump();
  }

  cancel(id: string): void {
    const upload = this.#upload(id);
    const begun = this.#jobs.get(id)?.begun;
    this.#around.dispatch({ type: "cancelled", id });
    this.#interrupt(id);
    this.#forget(id);
    if (upload && begun) this.#drop(targetOf(upload));
  }

  // Pieces that were on their way may still arrive after the first word. A draft that cannot be
  // dropped at all is dropped by the server when it has become old.
  #drop(target: UploadTarget): void {
    const drop = () => void this.#around.way.drop(target).catch(() => undefined);
    drop();
    setTimeout(drop, STRAGGLERS);
  }

  // Those that wait for a lost connection need not wait any longer.
  retryNow(): void {
    for (const { id, phase } of this.#around.queue()) {
      if (phase === "retrying") this.#start(id);
    }
  }

  #upload(id: string): Upload | undefined {
    return this.#around.queue().find((one) => one.id === id);
  }

  #pump(): void {
    for (let one = startable(this.#around.queue()); one; one = startable(this.#around.queue())) {
      this.#start(one.id);
    }
  }

  #start(id: string): void {
    const job = this.#jobs.get(id);
    if (!job) return;
    clearTimeout(job.timer);
    this.#around.dispatch({ type: "started", id });
    job.abort = new AbortController();
    job.lastMove ||= Date.now();
    void this.#work(id, job, job.abort.signal);
  }

  async #work(id: string, job: Job, signal: AbortSignal): Promise<void> {
    const upload = this.#upload(id);
    try {
      if (upload) await this.#carry(upload, job, signal);
    } catch (error) {
      if (!signal.aborted && upload) this.#trouble(upload, job, error);
    }
    const phase = this.#upload(id)?.phase;
    if (phase === "done" || phase === "cancelled") this.#forget(id);
    this.#pump();
  }

  async #carry(upload: Upload, job: Job, signal: AbortSignal): Promise<void> {
    const { way, dispatch } = this.#around;
    const target = targetOf(upload);
    const { id, size } = upload;
    if (!upload.overwrite && !job.begun) {
      const there = await way.look(target, signal);
      if (there === "other") throw new NotAFileError(target.path);
      if (there === "file") {
        dispatch({ type: "exists", id });
        return;
      }
    }
    job.hashing ??= this.#around.hash(job.file);
    const { sha256 } = job.hashing;
    let offset = job.begun ? await way.received(target, signal) : 0;
    if (job.whole && offset === 0 && (await this.#isThere(target, sha256, signal))) {
      dispatch({ type: "done", id });
      return;
    }
    for (let stalls = 0; stalls < MOST_STALLS; ) {
      const data = job.file.slice(offset, offset + PART);
      const last = offset + data.size >= size;
      const from = offset;
      const digest = last ? await sha256 : null;
      signal.throwIfAborted();
      job.begun = true;
      job.whole ||= last;
      const part = { offset, size, sha256: digest, overwrite: upload.overwrite, data };
      const sent = (bytes: number) => {
        job.lastMove = Date.now();
        dispatch({ type: "moved", id, sent: from + bytes, at: Date.now() });
        if (last && from + bytes >= size) dispatch({ type: "sentAll", id });
      };
      const state = await way.send(target, part, sent, signal);
      job.failures = 0;
      if (state.complete) {
        dispatch({ type: "done", id });
        return;
      }
      stalls = state.received_bytes > offset ? 0 : stalls + 1;
      offset = state.received_bytes;
      dispatch({ type: "moved", id, sent: offset, at: Date.now() });
    }
    throw new Error("the server takes no more of it");
  }

  // Whether the last answer alone was lost, after the file had been put in its place.
  async #isThere(
    target: UploadTarget,
    sha256: Promise<string>,
    signal: AbortSignal,
  ): Promise<boolean> {
    try {
      return (await this.#around.way.checksum(target, signal)) === (await sha256);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return false;
      throw error;
    }
  }

  #trouble(upload: Upload, job: Job, error: unknown): void {
    const { dispatch, random = Math.random } = this.#around;
    const { id } = upload;
    if (isPassing(error) && Date.now() - job.lastMove < PATIENCE) {
      job.failures += 1;
      const asked = error instanceof ApiError ? (error.retryAfter ?? 0) * 1000 : 0;
      const delay = Math.max(asked, retryDelay(job.failures, random));
      dispatch({ type: "lost", id, retryAt: Date.now() + delay, error });
      job.timer = setTimeout(() => this.#start(id), delay);
      return;
    }
    job.lastMove = 0;
    job.failures = 0;
    const taken = error instanceof ApiError && error.status === 409 && !upload.overwrite;
    if (taken && job.whole) {
      dispatch({ type: "exists", id });
      return;
    }
    // The file itself may have changed, and is read anew when it is tried again.
    job.hashing?.stop();
    job.hashing = null;
    dispatch({ type: "failed", id, error });
  }

  #interrupt(id: string): void {
    const job = this.#jobs.get(id);
    if (!job) return;
    clearTimeout(job.timer);
    job.lastMove = 0;
    job.abort?.abort();
    this.#pump();
  }

  #forget(id: string): void {
    this.#jobs.get(id)?.hashing?.stop();
    this.#jobs.delete(id);
  }
}

function targetOf({ id, server, folder, name }: Upload): UploadTarget {
  return { server, path: joined(folder, name), uploadId: id };
}
