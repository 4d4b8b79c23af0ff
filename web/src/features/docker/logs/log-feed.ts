import type { ContainerLogLine } from "@/api/docker";
import type { FollowHandlers } from "@/features/docker/logs/follow-container-log";
import {
  appended,
  EMPTY_LOG,
  type Log,
  MAX_LINES,
  newLines,
} from "@/features/docker/logs/log-buffer";

export interface LogConnection {
  // Reports how many lines of this connection have been processed.
  acknowledge: (count: number) => void;
  close: () => void;
}

export interface LogSource {
  // Fetches the lines before the tail, if a longer time range is chosen.
  past: () => Promise<{ lines: readonly ContainerLogLine[]; truncated: boolean }>;
  follow: (handlers: FollowHandlers) => LogConnection;
}

export interface LogView {
  log: Log;
  state: "connecting" | "open" | "lost" | "ended" | "failed";
  error: unknown;
  paused: boolean;
  // Number of lines that arrived during the pause.
  held: number;
}

interface LineBatch {
  lines: readonly ContainerLogLine[];
  gap: boolean;
}

const FLUSH_INTERVAL = 100; // ms; ten updates per second
const START: LogView = { log: EMPTY_LOG, state: "connecting", error: null, paused: false, held: 0 };

// Follows the log of a container. During a pause nothing is acknowledged, so that the sender waits.
export class LogFeed {
  readonly #source: LogSource;
  #view = START;
  #waiting: LineBatch[] = [];
  #received = 0;
  // Time of the newest line when the connection opened; null once the tail has passed it.
  #known: string | null = null;
  #gap = false;
  #connection: LogConnection | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #run = 0;
  readonly #listeners = new Set<() => void>();

  constructor(source: LogSource) {
    this.#source = source;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly view = (): LogView => this.#view;

  async start(): Promise<void> {
    this.#run += 1;
    const run = this.#run;
    this.#show(START);
    try {
      const { lines, truncated } = await this.#source.past();
      if (run !== this.#run) return;
      this.#show({ log: appended(EMPTY_LOG, lines, truncated) });
    } catch (error) {
      if (run === this.#run) this.#show({ state: "failed", error });
      return;
    }
    this.#connection = this.#source.follow({
      onOpen: () => this.#opened(),
      onLost: () => this.#show({ state: "lost" }),
      onLines: (lines) => this.#receive(lines),
      onEnd: () => this.#finish({ state: "ended" }),
      onFailure: (error) => this.#finish({ state: "failed", error }),
    });
  }

  stop(): void {
    this.#run += 1;
    this.#disconnect();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting = [];
  }

  pause(): void {
    if (!this.#view.paused) this.#show({ paused: true, held: this.#held() });
  }

  resume(): void {
    if (!this.#view.paused) return;
    this.#show({ paused: false, held: 0 });
    this.#flush();
  }

  #opened(): void {
    this.#received = 0;
    const newest = this.#waiting.at(-1)?.lines.at(-1) ?? this.#view.log.lines.at(-1);
    this.#known = newest?.time ?? null;
    this.#gap = this.#known !== null;
    this.#show({ state: "open" });
  }

  #receive(lines: readonly ContainerLogLine[]): void {
    this.#received += lines.length;
    const fresh = newLines(lines, this.#known);
    // If the tail overlaps the known lines, no line is missing.
    if (fresh.length < lines.length) this.#gap = false;
    if (fresh.length > 0) {
      this.#waiting.push({ lines: fresh, gap: this.#gap });
      this.#gap = false;
      this.#known = null;
      while (this.#held() > MAX_LINES && this.#waiting.length > 1) this.#waiting.shift();
    }
    if (this.#view.paused) this.#show({ held: this.#held() });
    else this.#timer ??= setTimeout(() => this.#flush(), FLUSH_INTERVAL);
  }

  #held(): number {
    return this.#waiting.reduce((sum, { lines }) => sum + lines.length, 0);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#view.paused) return;
    this.#take();
    this.#connection?.acknowledge(this.#received);
  }

  #take(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    const add = (log: Log, { lines, gap }: LineBatch) => appended(log, lines, gap);
    if (waiting.length > 0) this.#show({ log: waiting.reduce(add, this.#view.log), held: 0 });
  }

  #finish(end: Partial<LogView>): void {
    if (!this.#view.paused) this.#take();
    this.#disconnect();
    this.#show(end);
  }

  #disconnect(): void {
    this.#connection?.close();
    this.#connection = null;
  }

  #show(change: Partial<LogView>): void {
    this.#view = { ...this.#view, ...change };
    for (const listener of this.#listeners) listener();
  }
}
