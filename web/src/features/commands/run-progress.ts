import type { CommandLine } from "@/api/commands";

type Ended = Exclude<NonNullable<CommandLine["status"]>, "running">;

// "waiting" until its turn, "unsent" when the run was stopped before that.
export type TargetStatus = Ended | "waiting" | "running" | "unsent";

export interface Piece {
  stream: "stdout" | "stderr";
  text: string;
}

export interface Target {
  vpsId: string;
  name: string;
  status: TargetStatus;
  commandId: string | null;
  output: readonly Piece[];
  size: number; // characters of output
  exitCode: number | null;
  // Not all of it was kept: there, or on this page.
  truncated: boolean;
  reason: string;
  startedAt: number | null; // ms since the epoch
  endedAt: number | null;
}

export const MOST_SHOWN = 256 * 1024; // characters of a server
const MOST_PIECES = 2_000; // of a server

export function newTarget(vpsId: string, name: string): Target {
  return {
    ...{ vpsId, name, status: "waiting", commandId: null, output: [], size: 0 },
    ...{ exitCode: null, truncated: false, reason: "", startedAt: null, endedAt: null },
  };
}

function appended(output: readonly Piece[], stream: Piece["stream"], text: string): Piece[] {
  const last = output.at(-1);
  if (last?.stream !== stream) return [...output, { stream, text }];
  return [...output.slice(0, -1), { stream, text: last.text + text }];
}

// Keeps the end, which says how it went; half of the bound, so that it is not cut with each line.
function bounded(target: Target): Target {
  const output: Piece[] = [];
  let size = 0;
  for (const piece of target.output.slice(-MOST_PIECES / 2).reverse()) {
    const text = piece.text.slice(-(MOST_SHOWN / 2 - size));
    output.push({ ...piece, text });
    size += text.length;
    if (size >= MOST_SHOWN / 2) break;
  }
  return { ...target, output: output.reverse(), size, truncated: true };
}

function withOutput(target: Target, { stdout = "", stderr = "" }: CommandLine): Target {
  let { output } = target;
  if (stdout !== "") output = appended(output, "stdout", stdout);
  if (stderr !== "") output = appended(output, "stderr", stderr);
  const size = target.size + stdout.length + stderr.length;
  const grown = { ...target, output, size };
  return size <= MOST_SHOWN && output.length <= MOST_PIECES ? grown : bounded(grown);
}

export function progressed(target: Target, line: CommandLine, now: number): Target {
  const told = { ...target, commandId: line.command_id ?? target.commandId };
  if (line.event === "started") return { ...told, status: "running", startedAt: now };
  if (line.event === "output") return withOutput(told, line);
  return {
    ...told,
    status: (line.status ?? line.event) as TargetStatus,
    exitCode: line.exit_code ?? null,
    truncated: target.truncated || (line.truncated ?? false),
    reason: line.reason ?? "",
    endedAt: now,
  };
}

export function isOver({ status }: Target): boolean {
  return status !== "waiting" && status !== "running";
}

export function succeeded({ status, exitCode }: Target): boolean {
  return status === "finished" && exitCode === 0;
}

export type Outcome = "running" | "succeeded" | "failed";

export function outcomeOf(target: Target): Outcome {
  if (!isOver(target)) return "running";
  return succeeded(target) ? "succeeded" : "failed";
}

// What is left open when nobody tells any more: begun scripts run on, the others never will.
export function abandoned(target: Target): Target {
  if (isOver(target)) return target;
  return { ...target, status: target.status === "waiting" ? "unsent" : "lost" };
}
