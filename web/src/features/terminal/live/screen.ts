import "@xterm/xterm/css/xterm.css";
import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon } from "@xterm/addon-search";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { type IDisposable, Terminal } from "@xterm/xterm";
import { widenEmoji } from "@/features/terminal/character-width";
import { bytesOf, type ScreenKey } from "@/features/terminal/live/keys";
import { inspectPaste, needsAsking, type Paste } from "@/features/terminal/live/paste-guard";
import { MINIMUM_CONTRAST, terminalTheme } from "@/features/terminal/terminal-theme";
import { copyText } from "@/lib/clipboard";

export interface ScreenLook {
  dark: boolean;
  fontSize: number; // px
  screenReader: boolean;
  label: string;
}

export interface ScreenHandlers {
  onInput: (bytes: Uint8Array<ArrayBuffer>) => void;
  onResize: (columns: number, rows: number) => void;
  // Called with a paste that the user must confirm.
  onPaste: (paste: Paste) => void;
  // Called for Ctrl+Shift and this letter.
  onShortcut: (letter: "F" | "L") => void;
  // Called with the link under the mouse.
  onLink: (address: string | null) => void;
  // Called when text was selected with the mouse.
  onSelected: () => void;
}

const SCROLLBACK = 5_000; // lines
const FONT = 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace';
const RESET = "\u001bc";

// True if a graphics card renders WebGL. Software rendering is slower than drawing with the page's
// own elements.
function hasGraphics(): boolean {
  const probe = document.createElement("canvas");
  const context = probe.getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  if (!context) return false;
  const names = context.getExtension("WEBGL_debug_renderer_info");
  const name: unknown = names && context.getParameter(names.UNMASKED_RENDERER_WEBGL);
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return !/swiftshader|llvmpipe|software/i.test(String(name));
}

async function drawWithWebgl(terminal: Terminal): Promise<void> {
  if (!hasGraphics()) return;
  try {
    const { WebglAddon } = await import("@xterm/addon-webgl");
    const addon = new WebglAddon();
    // The terminal then falls back to drawing with the page's own elements.
    addon.onContextLoss(() => addon.dispose());
    terminal.loadAddon(addon);
  } catch {
    // The terminal is drawn without it.
  }
}

export function follow(event: MouseEvent, address: string): void {
  const web = URL.canParse(address) && /^https?:$/.test(new URL(address).protocol);
  if (web && (event.ctrlKey || event.metaKey))
    window.open(address, "_blank", "noopener,noreferrer");
}

// A terminal in an element of the page. Output is drawn and never becomes HTML. Requests of the
// output to set the title or the clipboard are ignored.
export class Screen {
  readonly terminal: Terminal;
  readonly search = new SearchAddon({ highlightLimit: 500 });
  readonly #fit = new FitAddon();
  readonly #host: HTMLElement;
  readonly #handlers: ScreenHandlers;
  readonly #listening = new AbortController();
  readonly #disposables: IDisposable[];
  #resizing = true;

  constructor(host: HTMLElement, look: ScreenLook, handlers: ScreenHandlers) {
    this.#host = host;
    this.#handlers = handlers;
    const hover = (_event: MouseEvent, address: string) => handlers.onLink(address);
    const leave = () => handlers.onLink(null);
    this.terminal = new Terminal({
      theme: terminalTheme(look.dark),
      minimumContrastRatio: MINIMUM_CONTRAST,
      fontFamily: FONT,
      fontSize: look.fontSize,
      screenReaderMode: look.screenReader,
      scrollback: SCROLLBACK,
      cursorBlink: true,
      macOptionIsMeta: true,
      // The add-ons for search and for the width of emoji need it.
      allowProposedApi: true,
      // Input is enabled when a session accepts it.
      disableStdin: true,
      linkHandler: { activate: follow, hover, leave },
    });
    widenEmoji(this.terminal);
    this.terminal.loadAddon(this.#fit);
    this.terminal.loadAddon(this.search);
    this.terminal.loadAddon(new WebLinksAddon(follow, { hover, leave }));
    this.terminal.open(host);
    this.terminal.textarea?.setAttribute("aria-label", look.label);
    void drawWithWebgl(this.terminal);
    this.fit();
    this.#disposables = [this.#forwardInput(), this.#forwardBinary(), this.#forwardSize()];
    this.terminal.attachCustomKeyEventHandler((event) => this.#takesKey(event));
    const { signal } = this.#listening;
    host.addEventListener("paste", (event) => this.#takePaste(event), { capture: true, signal });
    // In a terminal, Ctrl+K belongs to the shell and not to the console.
    host.addEventListener("keydown", (event) => event.stopPropagation(), { signal });
    host.addEventListener("mousedown", () => this.#watchSelection(), { signal });
  }

  dispose(): void {
    this.#listening.abort();
    for (const disposable of this.#disposables) disposable.dispose();
    this.terminal.dispose();
  }

  setLook({ dark, fontSize, screenReader, label }: ScreenLook): void {
    Object.assign(this.terminal.options, {
      theme: terminalTheme(dark),
      fontSize,
      screenReaderMode: screenReader,
    });
    this.terminal.textarea?.setAttribute("aria-label", label);
  }

  get size(): { columns: number; rows: number } {
    return { columns: this.terminal.cols, rows: this.terminal.rows };
  }

  // Fit the terminal to its element.
  fit(): void {
    if (this.#host.clientWidth > 0) this.#fit.fit();
  }

  // Empty the terminal and set its size. Input stays off until the scrollback has been replayed:
  // old output may query the terminal, and no program waits for the answers any more.
  startOver(columns: number, rows: number): void {
    this.terminal.options.disableStdin = true;
    this.terminal.write(RESET);
    this.setSize(columns, rows);
  }

  // Set a size that another viewer chose, without reporting it back.
  setSize(columns: number, rows: number): void {
    this.#resizing = false;
    this.terminal.resize(columns, rows);
    this.#resizing = true;
  }

  // Call `then` after everything written so far has been processed.
  afterwards(then: () => void): void {
    this.terminal.write("", then);
  }

  takeInput(takes: boolean): void {
    this.terminal.options.disableStdin = !takes;
  }

  press(key: ScreenKey): void {
    this.terminal.input(bytesOf(key, this.terminal.modes.applicationCursorKeysMode));
  }

  // Uses bracketed paste if the program asked for it.
  paste(text: string): void {
    this.terminal.paste(text);
    this.terminal.focus();
  }

  async copy(): Promise<boolean> {
    const text = this.terminal.getSelection();
    const copied = text !== "" && (await copyText(text));
    this.terminal.focus();
    return copied;
  }

  #forwardInput(): IDisposable {
    const encoder = new TextEncoder();
    return this.terminal.onData((text) => this.#handlers.onInput(encoder.encode(text)));
  }

  // Forwards the old mouse reports, whose bytes are not characters.
  #forwardBinary(): IDisposable {
    return this.terminal.onBinary((text) =>
      this.#handlers.onInput(Uint8Array.from(text, (character) => character.charCodeAt(0) & 255)),
    );
  }

  #forwardSize(): IDisposable {
    return this.terminal.onResize(({ cols, rows }) => {
      if (this.#resizing) this.#handlers.onResize(cols, rows);
    });
  }

  // Returns true if the terminal handles the key, and false if the console or the browser does.
  #takesKey(event: KeyboardEvent): boolean {
    if (!event.ctrlKey || !event.shiftKey || event.altKey || event.metaKey) return true;
    const letter = event.key.toUpperCase();
    // The browser then pastes, and the paste guard inspects the text.
    if (letter === "V") return false;
    if (letter !== "C" && letter !== "F" && letter !== "L") return true;
    event.preventDefault();
    if (event.type !== "keydown") return false;
    if (letter === "C") void this.copy();
    else this.#handlers.onShortcut(letter);
    return false;
  }

  #takePaste(event: ClipboardEvent): void {
    event.preventDefault();
    event.stopPropagation();
    if (this.terminal.options.disableStdin) return;
    const paste = inspectPaste(event.clipboardData?.getData("text/plain") ?? "");
    if (needsAsking(paste)) this.#handlers.onPaste(paste);
    else if (paste.text !== "") this.terminal.paste(paste.text);
  }

  // The mouse button may be released outside the terminal.
  #watchSelection(): void {
    const report = () => {
      if (this.terminal.hasSelection()) this.#handlers.onSelected();
    };
    const { signal } = this.#listening;
    window.addEventListener("mouseup", () => setTimeout(report), { once: true, signal });
  }
}
