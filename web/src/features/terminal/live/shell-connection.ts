import { ApiError, isTemporary } from "@/api/problem";
import type { ShellSession } from "@/api/shell";
import { CreditMeter } from "@/features/terminal/live/credit-meter";
import type { ShellRequest } from "@/features/terminal/live/shell-address";
import type { ClientFrame, Ready, ServerFrame } from "@/features/terminal/live/shell-frames";
import { retryDelay } from "@/live/socket";

export type ConnectionState =
  | { phase: "connecting" }
  | { phase: "open" }
  | { phase: "lost"; retryAt: number }
  | { phase: "ended"; code: number | null; reason: string }
  // `error` is the answer of the server, if the browser received one.
  | { phase: "refused"; error: unknown };

export interface ConnectionOptions {
  session: string | null;
  container: string | null;
  observe: boolean;
  size: () => { columns: number; rows: number };
  // Returns an address with a one-time ticket. A refusal ends the attempts.
  address: (request: ShellRequest) => Promise<string>;
  // A WebSocket does not tell why it was refused, so this finds out the state of the session.
  find: (session: string) => Promise<ShellSession | null>;
  onState: (state: ConnectionState) => void;
  onReady: (ready: Ready) => void;
  // Calls `handled` when the screen has processed the bytes.
  onOutput: (bytes: Uint8Array, handled: () => void) => void;
  // Called with every other frame.
  onFrame: (frame: Exclude<ServerFrame, Ready>) => void;
  random?: () => number;
}

const HEARTBEAT_INTERVAL = 20_000; // ms; shorter than the idle timeout of proxies
// A session of another user keeps running but never accepts the connection.
const MAX_REFUSALS = 3;
const MAX_FRAME = 16 * 1024; // bytes of input

// After any other error, a later attempt may succeed.
function isRefusal(error: unknown): boolean {
  return error instanceof ApiError && !isTemporary(error);
}

// The connection of a screen to a terminal session. A lost connection is restored to the same
// session. If a session may not have been opened, it is never opened a second time automatically.
export class ShellConnection {
  readonly #options: ConnectionOptions;
  #socket: WebSocket | null = null;
  #session: string | null;
  #ready = false;
  #reason: string | null = null;
  #failures = 0;
  #refusals = 0;
  #attempt = 0;
  #over = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #life: ReturnType<typeof setInterval> | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#session = options.session;
    window.addEventListener("online", this.retryNow);
    void this.#open();
  }

  // Disconnect. The session keeps running.
  close(): void {
    this.#over = true;
    window.removeEventListener("online", this.retryNow);
    this.#drop();
  }

  readonly retryNow = (): void => {
    if (!this.#over && this.#socket === null) void this.#open();
  };

  // Input without a connection is dropped: it must not run later, unseen.
  type(bytes: Uint8Array<ArrayBuffer>): void {
    if (!this.#ready) return;
    for (let at = 0; at < bytes.length; at += MAX_FRAME) {
      this.#socket?.send(bytes.subarray(at, at + MAX_FRAME));
    }
  }

  send(frame: ClientFrame): void {
    if (this.#ready) this.#socket?.send(JSON.stringify(frame));
  }

  #drop(): void {
    clearTimeout(this.#retry);
    clearInterval(this.#life);
    this.#attempt += 1;
    this.#ready = false;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  async #open(): Promise<void> {
    this.#drop();
    const attempt = this.#attempt;
    const current = () => attempt === this.#attempt;
    this.#reason = null;
    this.#options.onState({ phase: "connecting" });
    const { container, observe, size } = this.#options;
    let address: string;
    try {
      address = await this.#options.address({
        session: this.#session,
        container,
        observe,
        ...size(),
      });
    } catch (error) {
      if (current()) this.#fail(error);
      return;
    }
    if (!current()) return;
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    const meter = new CreditMeter((offset) => {
      if (current()) this.send({ type: "credit", offset });
    });
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (!current()) return;
      if (typeof data !== "string") {
        this.#options.onOutput(new Uint8Array(data), () => meter.handled(data.byteLength));
        return;
      }
      const frame = JSON.parse(data) as ServerFrame;
      if (frame.type === "ready") this.#attached(meter);
      this.#take(frame);
    };
    socket.onclose = () => {
      if (current()) void this.#closed(current);
    };
  }

  // Called again when the screen must start over; the count of its output continues.
  #attached(meter: CreditMeter): void {
    this.#ready = true;
    this.#failures = 0;
    this.#refusals = 0;
    clearInterval(this.#life);
    this.#life = setInterval(() => meter.repeat(), HEARTBEAT_INTERVAL);
  }

  #take(frame: ServerFrame): void {
    if (frame.type === "ready") {
      this.#session = frame.session;
      this.#options.onReady(frame);
      this.#options.onState({ phase: "open" });
      return;
    }
    if (frame.type === "exit") this.#end({ ...frame, phase: "ended" });
    if (frame.type === "error") this.#reason = frame.reason;
    this.#options.onFrame(frame);
  }

  async #closed(current: () => boolean): Promise<void> {
    if (this.#ready) {
      this.#fail(null);
      return;
    }
    const session = this.#session;
    if (session === null) {
      this.#refuse(this.#reason);
      return;
    }
    try {
      const known = await this.#options.find(session);
      if (!current()) return;
      this.#refusals += 1;
      if (known !== null && known.ended_at !== null) {
        this.#end({ phase: "ended", code: known.exit_code, reason: known.end_reason ?? "" });
      } else if (known === null || this.#refusals >= MAX_REFUSALS) this.#refuse(this.#reason);
      else this.#fail(null);
    } catch (error) {
      if (current()) this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (isRefusal(error)) {
      this.#refuse(error);
      return;
    }
    this.#drop();
    this.#failures += 1;
    const delay = retryDelay(this.#failures, this.#options.random ?? Math.random);
    this.#options.onState({ phase: "lost", retryAt: Date.now() + delay });
    this.#retry = setTimeout(() => void this.#open(), delay);
  }

  #refuse(error: unknown): void {
    this.#end({ phase: "refused", error });
  }

  #end(state: ConnectionState): void {
    this.close();
    this.#options.onState(state);
  }
}
