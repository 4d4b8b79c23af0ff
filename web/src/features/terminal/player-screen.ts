import "@xterm/xterm/css/xterm.css";
import { Terminal } from "@xterm/xterm";
import type { Stage } from "@/features/terminal/cast-player";
import { MINIMUM_CONTRAST, terminalTheme } from "@/features/terminal/terminal-theme";

const LARGEST = 14; // px
const SMALLEST = 9; // px; below that it is scrolled
const SHAPE = 0.61; // width of a character by its height, at least

// A terminal that only shows: as large as the recording, in letters that fit the room.
export class PlayerScreen implements Stage {
  readonly #terminal: Terminal;
  readonly #host: HTMLElement;
  readonly #room: ResizeObserver;

  constructor(host: HTMLElement, dark: boolean) {
    this.#host = host;
    this.#terminal = new Terminal({
      theme: terminalTheme(dark),
      minimumContrastRatio: MINIMUM_CONTRAST,
      fontFamily: 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
      fontSize: LARGEST,
      disableStdin: true,
      scrollback: 0,
    });
    this.#terminal.open(host);
    this.#room = new ResizeObserver(() => this.#fit());
    this.#room.observe(host);
  }

  dispose(): void {
    this.#room.disconnect();
    this.#terminal.dispose();
  }

  reset(columns: number, rows: number): void {
    this.#terminal.reset();
    this.resize(columns, rows);
  }

  resize(columns: number, rows: number): void {
    // What was written before belongs to the size before.
    this.#terminal.write("", () => {
      this.#terminal.resize(columns, rows);
      this.#fit();
    });
  }

  write(output: string): void {
    this.#terminal.write(output);
  }

  #fit(): void {
    const size = Math.floor(this.#host.clientWidth / (this.#terminal.cols * SHAPE));
    this.#terminal.options.fontSize = Math.min(LARGEST, Math.max(SMALLEST, size));
  }
}
