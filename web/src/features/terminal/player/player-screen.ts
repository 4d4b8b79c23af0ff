import "@xterm/xterm/css/xterm.css";
import { Terminal } from "@xterm/xterm";
import { widenEmoji } from "@/features/terminal/character-width";
import type { Stage } from "@/features/terminal/player/cast-player";
import { MINIMUM_CONTRAST, terminalTheme } from "@/features/terminal/terminal-theme";

const LARGEST = 14; // px
const SMALLEST = 9; // px; larger recordings scroll
const SHAPE = 0.61; // smallest width of a character relative to its height

// A read-only terminal with the size of the recording and a font size that fits its element.
export class PlayerScreen implements Stage {
  readonly terminal: Terminal;
  readonly #host: HTMLElement;
  readonly #room: ResizeObserver;

  constructor(host: HTMLElement, dark: boolean) {
    this.#host = host;
    this.terminal = new Terminal({
      theme: terminalTheme(dark),
      minimumContrastRatio: MINIMUM_CONTRAST,
      fontFamily: 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
      fontSize: LARGEST,
      disableStdin: true,
      scrollback: 0,
      // The add-on for the width of emoji needs it.
      allowProposedApi: true,
    });
    widenEmoji(this.terminal);
    this.terminal.open(host);
    this.#room = new ResizeObserver(() => this.#fit());
    this.#room.observe(host);
  }

  dispose(): void {
    this.#room.disconnect();
    this.terminal.dispose();
  }

  reset(columns: number, rows: number): void {
    this.terminal.reset();
    this.resize(columns, rows);
  }

  resize(columns: number, rows: number): void {
    // Earlier output belongs to the earlier size, so it is processed first.
    this.terminal.write("", () => {
      this.terminal.resize(columns, rows);
      this.#fit();
    });
  }

  write(output: string): void {
    this.terminal.write(output);
  }

  #fit(): void {
    const size = Math.floor(this.#host.clientWidth / (this.terminal.cols * SHAPE));
    this.terminal.options.fontSize = Math.min(LARGEST, Math.max(SMALLEST, size));
  }
}
