export type LiveState = "connecting" | "open" | "lost";

export interface LiveSocketOptions {
  // Requests a one-time ticket for each attempt. An error counts as a failed attempt.
  requestTicket: () => Promise<string>;
  address: (ticket: string) => string;
  onMessage: (data: string) => void;
  onState: (state: LiveState, retryAt: number | null) => void;
  // Set if silence is normal, and a dead connection is detected otherwise.
  mayBeSilent?: boolean;
  random?: () => number;
}

const MIN_DELAY = 1_000; // ms
const MAX_DELAY = 30_000; // ms
// A dead connection can only be noticed because it is silent.
const SILENCE_TIMEOUT = 60_000; // ms

export function retryDelay(failures: number, random: () => number): number {
  const ceiling = Math.min(MAX_DELAY, MIN_DELAY * 2 ** Math.max(0, failures - 1));
  return ceiling / 2 + (random() * ceiling) / 2;
}

// Keeps a WebSocket open. Each attempt uses a new ticket; failures are retried with a growing,
// jittered delay.
export class LiveSocket {
  readonly #options: LiveSocketOptions;
  #socket: WebSocket | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #attempt = 0;
  #closed = false;

  constructor(options: LiveSocketOptions) {
    this.#options = options;
    window.addEventListener("online", this.retryNow);
    void this.#open();
  }

  close(): void {
    this.#closed = true;
    window.removeEventListener("online", this.retryNow);
    this.#drop();
  }

  // Drops the data while there is no connection.
  send(data: string): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(data);
  }

  readonly retryNow = (): void => {
    if (this.#closed || this.#socket?.readyState === WebSocket.OPEN) return;
    void this.#open();
  };

  #drop(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    this.#attempt += 1;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  async #open(): Promise<void> {
    this.#drop();
    const attempt = this.#attempt;
    const current = () => attempt === this.#attempt;
    if (this.#failures === 0) this.#options.onState("connecting", null);
    let ticket: string;
    try {
      ticket = await this.#options.requestTicket();
    } catch {
      // Every error has the same remedy: wait and try again.
      if (current()) this.#fail();
      return;
    }
    if (!current()) return;
    const socket = new WebSocket(this.#options.address(ticket));
    this.#socket = socket;
    socket.onopen = () => {
      if (!current()) return;
      this.#failures = 0;
      this.#listen();
      this.#options.onState("open", null);
    };
    socket.onmessage = (event: MessageEvent<string>) => {
      if (!current()) return;
      this.#listen();
      this.#options.onMessage(event.data);
    };
    socket.onclose = () => {
      if (current()) this.#fail();
    };
  }

  #listen(): void {
    clearTimeout(this.#silence);
    if (this.#options.mayBeSilent) return;
    this.#silence = setTimeout(() => void this.#open(), SILENCE_TIMEOUT);
  }

  #fail(): void {
    this.#drop();
    this.#failures += 1;
    const delay = retryDelay(this.#failures, this.#options.random ?? Math.random);
    this.#options.onState("lost", Date.now() + delay);
    this.#retry = setTimeout(() => void this.#open(), delay);
  }
}
