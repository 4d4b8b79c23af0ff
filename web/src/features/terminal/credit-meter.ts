// Bytes between two credits. The server stops at 256 KiB unacknowledged, so a few are always free.
export const STEP = 32 * 1024;

// Tells the server how much of its output the screen has taken in, so that a flood waits on the
// server and not in the browser's memory. One for each attachment: offsets start anew with it.
export class CreditMeter {
  readonly #tell: (offset: number) => void;
  #handled = 0;
  #told = 0;

  constructor(tell: (offset: number) => void) {
    this.#tell = tell;
  }

  handled(bytes: number): void {
    this.#handled += bytes;
    if (this.#handled - this.#told >= STEP) this.repeat();
  }

  repeat(): void {
    this.#told = this.#handled;
    this.#tell(this.#handled);
  }
}
