// Bytes between two credits. The server pauses at 256 KiB without credit, so this leaves room for
// several.
export const STEP = 32 * 1024;

// Reports to the server how much output the screen has processed, so that large output waits on the
// server and not in the memory of the browser. Each connection needs its own meter, because offsets
// start at zero.
export class CreditMeter {
  readonly #report: (offset: number) => void;
  #handled = 0;
  #reported = 0;

  constructor(report: (offset: number) => void) {
    this.#report = report;
  }

  handled(bytes: number): void {
    this.#handled += bytes;
    if (this.#handled - this.#reported >= STEP) this.repeat();
  }

  repeat(): void {
    this.#reported = this.#handled;
    this.#report(this.#handled);
  }
}
