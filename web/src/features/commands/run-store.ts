import { create } from "zustand";
import { type CommandLine, cancelCommand, runOnMany } from "@/api/commands";
import { useSession } from "@/api/session";
import { abandoned, newTarget, progressed, type Target } from "@/features/commands/run-progress";
import { slots } from "@/lib/slots";

interface Run {
  // A run goes on while the drawer is closed, and is there when it is opened again.
  phase: "none" | "running" | "over";
  script: string;
  targets: ReadonlyMap<string, Target>;
  // The whole run was refused, or its answer broke off.
  error: unknown;
}

export interface RunRequest {
  script: string;
  timeout: number; // seconds
  servers: readonly { id: string; name: string }[];
}

const NONE: Run = { phase: "none", script: "", targets: new Map(), error: null };
const DRAW_PAUSE = 60; // ms; lines come faster than anybody reads

export const useRun = create<Run>(() => NONE);

let stop: AbortController | null = null;

function draw(lines: readonly CommandLine[]): void {
  useRun.setState(({ targets }) => {
    const after = new Map(targets);
    const now = Date.now();
    for (const line of lines) {
      const target = after.get(line.vps_id);
      if (target) after.set(line.vps_id, progressed(target, line, now));
    }
    return { targets: after };
  });
}

async function follow(request: RunRequest, signal: AbortSignal): Promise<void> {
  let lines: CommandLine[] = [];
  const flush = () => {
    if (lines.length > 0) draw(lines);
    lines = [];
  };
  const timer = setInterval(flush, DRAW_PAUSE);
  const body = {
    vps_ids: request.servers.map(({ id }) => id),
    script: request.script,
    timeout_seconds: request.timeout,
  };
  try {
    for await (const line of runOnMany(body, signal)) lines.push(line);
  } finally {
    clearInterval(timer);
    flush();
  }
}

export async function startRun(request: RunRequest): Promise<void> {
  const { script, servers } = request;
  const controller = new AbortController();
  stop = controller;
  const targets = new Map(servers.map(({ id, name }) => [id, newTarget(id, name)]));
  useRun.setState({ phase: "running", script, targets, error: null });
  let error: unknown = null;
  try {
    await follow(request, controller.signal);
  } catch (cause) {
    if (!controller.signal.aborted) error = cause;
  }
  if (stop !== controller) return;
  useRun.setState(({ targets: before }) => ({
    phase: "over",
    error,
    targets: new Map([...before].map(([id, target]) => [id, abandoned(target)])),
  }));
}

export async function cancelTarget({ vpsId, commandId, status }: Target): Promise<void> {
  if (status === "running" && commandId !== null) await cancelCommand(vpsId, commandId);
}

const AT_A_TIME = 6; // requests

// Those that run are ended, and those whose turn has not come are not begun: for that the answer is
// let go first, and what became of the others is told by their own. Answers how many could not be
// ended.
export async function cancelRun(): Promise<number> {
  const targets = [...useRun.getState().targets.values()];
  if (targets.some(({ status }) => status === "waiting")) stop?.abort();
  const inTurn = slots(AT_A_TIME);
  const begun = targets.filter(({ status }) => status === "running");
  const results = await Promise.allSettled(
    begun.map((target) => inTurn(() => cancelTarget(target))),
  );
  const ended = begun.filter((_, index) => results[index]?.status === "fulfilled");
  useRun.setState(({ targets: before }) => {
    const after = new Map(before);
    for (const { vpsId } of ended) {
      const target = after.get(vpsId);
      if (target?.status === "lost") after.set(vpsId, { ...target, status: "cancelled" });
    }
    return { targets: after };
  });
  return begun.length - ended.length;
}

export function forgetRun(): void {
  stop?.abort();
  stop = null;
  useRun.setState(NONE);
}

// The next person at this browser is not to see it.
useSession.subscribe(({ phase }) => {
  if (phase === "out") forgetRun();
});
