// The queue of uploads as a state machine: events, and the state that follows from each.

export type Phase =
  | "waiting"
  // The file exists, and the user must decide whether to replace it.
  | "asking"
  | "sending"
  // All bytes are sent; the server verifies and saves the file.
  | "finishing"
  | "paused"
  // The connection is lost; the upload continues automatically.
  | "retrying"
  | "done"
  | "failed"
  | "cancelled";

export interface Upload {
  id: string;
  server: string;
  folder: string;
  name: string;
  size: number;
  phase: Phase;
  sent: number; // bytes
  overwrite: boolean;
  retryAt: number | null; // ms since the epoch
  error: unknown;
  // Recent times (ms) and the bytes sent by then, for the rate.
  trace: readonly (readonly [number, number])[];
}

export type UploadEvent =
  | { type: "added"; uploads: readonly Upload[] }
  | { type: "started"; id: string }
  | { type: "exists"; id: string }
  | { type: "replaced"; id: string }
  | { type: "moved"; id: string; sent: number; at: number }
  | { type: "sentAll"; id: string }
  | { type: "lost"; id: string; retryAt: number; error: unknown }
  | { type: "paused"; id: string }
  | { type: "resumed"; id: string }
  | { type: "done"; id: string }
  | { type: "failed"; id: string; error: unknown }
  | { type: "cancelled"; id: string }
  | { type: "cleared" };

const TRACE = 5_000; // ms over which the rate is measured
const TRACE_STEP = 250; // ms between two of its points

const ENDED: readonly Phase[] = ["done", "cancelled"];
const AT_WORK: readonly Phase[] = ["sending", "finishing", "retrying"];
export const MAX_CONCURRENT = 2; // files

// The states in which each event applies. In any other state it comes too late and changes nothing.
const FROM: Record<Exclude<UploadEvent["type"], "added" | "cleared">, readonly Phase[]> = {
  started: ["waiting", "retrying"],
  exists: ["sending", "finishing"],
  replaced: ["asking"],
  moved: ["sending", "finishing"],
  sentAll: ["sending"],
  lost: ["sending", "finishing"],
  paused: ["waiting", "sending", "finishing", "retrying"],
  resumed: ["paused", "failed"],
  done: ["sending", "finishing"],
  failed: ["sending", "finishing", "retrying"],
  cancelled: ["waiting", "asking", "sending", "finishing", "retrying", "paused", "failed"],
};

export function uploadOf(
  about: Pick<Upload, "id" | "server" | "folder" | "name" | "size">,
): Upload {
  return {
    ...about,
    phase: "waiting",
    sent: 0,
    overwrite: false,
    retryAt: null,
    error: null,
    trace: [],
  };
}

function traced(upload: Upload, sent: number, at: number): Upload["trace"] {
  // The server may have fewer bytes than were sent. The rate is then measured from the start.
  if (sent < upload.sent) return [[at, sent]];
  const last = upload.trace.at(-1);
  if (last && at - last[0] < TRACE_STEP) return upload.trace;
  return [...upload.trace.filter(([time]) => at - time < TRACE), [at, sent]];
}

function after(upload: Upload, event: UploadEvent): Upload {
  switch (event.type) {
    case "started":
      return { ...upload, phase: "sending", retryAt: null, error: null, trace: [] };
    case "exists":
      return { ...upload, phase: "asking" };
    case "replaced":
      return { ...upload, phase: "waiting", overwrite: true };
    case "moved":
      return { ...upload, sent: event.sent, trace: traced(upload, event.sent, event.at) };
    case "sentAll":
      return { ...upload, phase: "finishing", trace: [] };
    case "lost":
      return { ...upload, phase: "retrying", retryAt: event.retryAt, error: event.error };
    case "paused":
      return { ...upload, phase: "paused", retryAt: null };
    case "resumed":
      return { ...upload, phase: "waiting", error: null };
    case "done":
      return { ...upload, phase: "done", sent: upload.size, trace: [] };
    case "failed":
      return { ...upload, phase: "failed", error: event.error, retryAt: null };
    case "cancelled":
      return { ...upload, phase: "cancelled", retryAt: null };
    default:
      return upload;
  }
}

export function next(queue: readonly Upload[], event: UploadEvent): readonly Upload[] {
  if (event.type === "added") return [...queue, ...event.uploads];
  if (event.type === "cleared") return queue.filter(({ phase }) => !ENDED.includes(phase));
  return queue.map((upload) =>
    upload.id === event.id && FROM[event.type].includes(upload.phase)
      ? after(upload, event)
      : upload,
  );
}

// The next upload to start, if fewer than the maximum are running.
export function startable(queue: readonly Upload[]): Upload | undefined {
  const working = queue.filter(({ phase }) => AT_WORK.includes(phase)).length;
  return working < MAX_CONCURRENT ? queue.find(({ phase }) => phase === "waiting") : undefined;
}

export function isEnded({ phase }: Upload): boolean {
  return ENDED.includes(phase);
}

// Bytes per second over the last seconds; null if too little is known.
export function rateOf({ phase, trace }: Upload): number | null {
  const first = trace[0];
  const last = trace.at(-1);
  if (phase !== "sending" || !first || !last || last[0] - first[0] < TRACE_STEP) return null;
  return ((last[1] - first[1]) * 1000) / (last[0] - first[0]);
}

export function secondsLeft(upload: Upload): number | null {
  const rate = rateOf(upload);
  return rate === null || rate <= 0 ? null : (upload.size - upload.sent) / rate;
}
