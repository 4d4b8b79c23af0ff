import { isUnfinished, type OutputLine, type RunStatus, type ServerLine } from "@/api/runs";

export interface OutputChunk {
  stream: OutputLine["stream"];
  text: string;
}

// A server of a run, as the lines of the run's output describe it.
export interface Target {
  vpsId: string;
  status: RunStatus;
  output: readonly OutputChunk[];
  size: number; // characters of output
  exitCode: number | null;
  // True if there was more output than the console keeps.
  truncated: boolean;
  // True if this page shows only the end of the output.
  clipped: boolean;
  reason: string;
  problem: ServerLine["problem"];
  startedAt: number | null; // ms since the epoch
  endedAt: number | null;
}

export const MAX_SHOWN = 256 * 1024; // characters per server
const MAX_CHUNKS = 2_000; // per server

export function newTarget(vpsId: string): Target {
  return {
    vpsId,
    status: "queued",
    output: [],
    size: 0,
    exitCode: null,
    truncated: false,
    clipped: false,
    reason: "",
    problem: null,
    startedAt: null,
    endedAt: null,
  };
}

function appended(output: readonly OutputChunk[], { stream, data }: OutputLine): OutputChunk[] {
  const last = output.at(-1);
  if (last?.stream !== stream) return [...output, { stream, text: data }];
  return [...output.slice(0, -1), { stream, text: last.text + data }];
}

// Keep the end of the output, which shows the result. It is cut to half of the bound, so that it is
// not cut again with each line.
function bounded(target: Target): Target {
  const output: OutputChunk[] = [];
  let size = 0;
  for (const chunk of target.output.slice(-MAX_CHUNKS / 2).reverse()) {
    const text = chunk.text.slice(-(MAX_SHOWN / 2 - size));
    output.push({ ...chunk, text });
    size += text.length;
    if (size >= MAX_SHOWN / 2) break;
  }
  return { ...target, output: output.reverse(), size, clipped: true };
}

export function applyLine(target: Target, line: OutputLine | ServerLine): Target {
  if (line.event === "output") {
    const output = appended(target.output, line);
    const grown = { ...target, output, size: target.size + line.data.length };
    return grown.size <= MAX_SHOWN && output.length <= MAX_CHUNKS ? grown : bounded(grown);
  }
  const time = Date.parse(line.time);
  return {
    ...target,
    status: line.status,
    exitCode: line.exit_code,
    truncated: line.truncated,
    reason: line.reason,
    problem: line.problem,
    startedAt: line.status === "running" ? time : target.startedAt,
    endedAt: isUnfinished(line.status) ? null : time,
  };
}

export type Outcome = "running" | "succeeded" | "failed";

export function outcomeOf({ status, exitCode }: Target): Outcome {
  if (isUnfinished(status)) return "running";
  return status === "finished" && exitCode === 0 ? "succeeded" : "failed";
}
