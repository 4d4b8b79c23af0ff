import { ApiError } from "@/api/problem";
import type { ShellRequest, ShellSession } from "@/api/shell";
import { CreditMeter } from "@/features/terminal/credit-meter";
import type { ClientFrame, Ready, ServerFrame } from "@/features/terminal/shell-frames";
import { retryDelay } from "@/lib/live-socket";

export type LinkState =
  | { phase: "connecting" }
  | { phase: "open" }
  | { phase: "lost"; retryAt: number }
  | { phase: "ended"; code: number | null; reason: string }
  // `error` is what the server answered, where it could be heard.
  | { phase: "refused"; error: unknown };

export interface LinkOptions {
  session: string | null;
  container: string | null;
  observe: boolean;
  size: () => { columns: number; rows: number };
  // With a one-time ticket; a refusal ends the attempts.
  address: (request: ShellRequest) => Promise<string>;
  // Why an attachment was refused cannot be heard from a WebSocket: this asks.
  find: (session: string) => Promise<ShellSession | null>;
  onState: (state: LinkState) => void;
  onReady: (ready: Ready) => void;
  // `handled` is called once the screen has taken the bytes in.
  onOutput: (bytes: Uint8Array, handled: () => void) => void;
  // Every other frame.
  onFrame: (frame: Exclude<ServerFrame, Ready>) => void;
  random?: () => number;
}

const SIGN_OF_LIFE = 20_000; // ms; shorter than proxies wait before they cut a silent connection
// Somebody else's session runs on and still cannot be attached to, however often one asks.
const MOST_REFUSALS = 3;
const LARGEST_FRAME = 16 * 1024; // bytes of input

// Everything else may be better in a while.
function isRefusal(error: unknown): boolean {
  return error instanceof ApiError && error.status < 500 && error.status !== 429;
}

// One screen's way to one session. A lost connection is made again to the same session; a session
// that may not have been opened is never opened a second time by itself.
export class ShellLink {
  readonly #options: LinkOptions;
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

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#session = options.session;
    window.addEventListener("online", this.retryNow);
    void this.#open();
  }

  // The session goes on without this screen.
  close(): void {
    this.#over = true;
    window.removeEventListener("online", this.retryNow);
    this.#drop();
  }

  readonly retryNow = (): void => {
    if (!this.#over && this.#socket === null) void this.#open();
  };

  // What is typed while there is no connection is lost: it must not run later, unseen.
  type(bytes: Uint8Array<ArrayBuffer>): void {
    if (!this.#ready) return;
    for (let at = 0; at < bytes.length; at += LARGEST_FRAME) {
      this.#socket?.send(bytes.subarray(at, at + LARGEST_FRAME));
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
        ...{ session: this.#session, container, observe },
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

  // Told again when the screen is to start over; the count of its output goes on.
  #attached(meter: CreditMeter): void {
    this.#ready = true;
    this.#failures = 0;
    this.#refusals = 0;
    clearInterval(this.#life);
    this.#life = setInterval(() => meter.repeat(), SIGN_OF_LIFE);
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
      } else if (known === null || this.#refusals >= MOST_REFUSALS) this.#refuse(this.#reason);
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

  #end(state: LinkState): void {
    this.close();
    this.#options.onState(state);
  }
}
