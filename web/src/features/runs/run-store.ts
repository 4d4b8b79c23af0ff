import { create } from "zustand";
import { isTemporary } from "@/api/problem";
import { followRun, type RunLine, type RunStatus } from "@/api/runs";
import { useSession } from "@/api/session";
import { applyLine, newTarget, type Target } from "@/features/runs/results/target";
import { retryDelay } from "@/live/socket";

interface FollowedRun {
  id: string | null;
  targets: ReadonlyMap<string, Target>;
  // The end state; null until the run has ended.
  ended: RunStatus | null;
  // True while the connection is lost and is being restored.
  reconnecting: boolean;
  // Set if the run cannot be followed.
  error: unknown;
}

const NONE: FollowedRun = {
  id: null,
  targets: new Map(),
  ended: null,
  reconnecting: false,
  error: null,
};
const DRAW_PAUSE = 60; // ms; lines may arrive faster than they can be read
// The gateway sends a line at least every 15 s, so a connection that is silent for longer is dead.
const SILENCE_TIMEOUT = 45_000; // ms

// The run that was shown last. Its lines are kept while it is not shown; later lines are then added.
export const useFollowedRun = create<FollowedRun>(() => NONE);

let nextOffset = 0;
let following: AbortController | null = null;

// Shows a run: its lines so far, and then each new line. Returns the function that stops.
export function followInStore(id: string): () => void {
  following?.abort();
  if (useFollowedRun.getState().id !== id) {
    nextOffset = 0;
    useFollowedRun.setState({ ...NONE, id });
  }
  if (useFollowedRun.getState().ended === null) {
    following = new AbortController();
    void follow(id, following.signal);
  }
  return () => following?.abort();
}

async function follow(id: string, signal: AbortSignal): Promise<void> {
  useFollowedRun.setState({ error: null, reconnecting: false });
  for (let failures = 0; ; ) {
    const before = nextOffset;
    try {
      await takeLines(id, signal);
    } catch (error) {
      if (!signal.aborted && !isTemporary(error)) {
        useFollowedRun.setState({ error, reconnecting: false });
        return;
      }
    }
    if (signal.aborted || useFollowedRun.getState().ended !== null) return;
    failures = nextOffset > before ? 1 : failures + 1;
    useFollowedRun.setState({ reconnecting: true });
    await new Promise((resolve) => setTimeout(resolve, retryDelay(failures, Math.random)));
    if (signal.aborted) return;
  }
}

// Takes the lines of one connection, until it ends.
async function takeLines(id: string, signal: AbortSignal): Promise<void> {
  let lines: RunLine[] = [];
  const flush = () => {
    if (lines.length > 0 && !signal.aborted) draw(lines);
    lines = [];
  };
  const silent = new AbortController();
  let watchdog = setTimeout(() => silent.abort(), SILENCE_TIMEOUT);
  const timer = setInterval(flush, DRAW_PAUSE);
  try {
    for await (const line of followRun(id, nextOffset, AbortSignal.any([signal, silent.signal]))) {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => silent.abort(), SILENCE_TIMEOUT);
      lines.push(line);
    }
  } catch (error) {
    if (!silent.signal.aborted) throw error;
  } finally {
    clearInterval(timer);
    clearTimeout(watchdog);
    flush();
  }
}

function draw(lines: readonly RunLine[]): void {
  useFollowedRun.setState(({ targets, ended }) => {
    const after = new Map(targets);
    let end = ended;
    for (const line of lines) {
      if (line.event === "run") end = line.status;
      if (line.event === "idle" || line.event === "run") continue;
      nextOffset = line.offset + 1;
      after.set(
        line.server_id,
        applyLine(after.get(line.server_id) ?? newTarget(line.server_id), line),
      );
    }
    return { targets: after, ended: end, reconnecting: false };
  });
}

export function forgetFollowedRun(): void {
  following?.abort();
  following = null;
  nextOffset = 0;
  useFollowedRun.setState(NONE);
}

// The next user of this browser must not see the run.
useSession.subscribe(({ phase }) => {
  if (phase === "out") forgetFollowedRun();
});
