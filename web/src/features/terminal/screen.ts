import "@xterm/xterm/css/xterm.css";
import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon } from "@xterm/addon-search";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { type IDisposable, Terminal } from "@xterm/xterm";
import { bytesOf, type ScreenKey } from "@/features/terminal/keys";
import { inspectPaste, needsAsking, type Paste } from "@/features/terminal/paste-guard";
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
  // A paste that somebody has to look at first.
  onPaste: (paste: Paste) => void;
  // Ctrl+Shift and this letter.
  onShortcut: (letter: "F" | "L") => void;
  // The link under the mouse.
  onLink: (address: string | null) => void;
  // With the mouse.
  onSelected: () => void;
}

const SCROLLBACK = 5_000; // lines
const FONT = 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace';
const RESET = "\u001bc";

// Whether a graphics card does the work; done by the processor it is slower than the page itself.
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
    // The terminal then draws itself with the page's own elements.
    addon.onContextLoss(() => addon.dispose());
    terminal.loadAddon(addon);
  } catch {
    // It is drawn either way.
  }
}

export function follow(event: MouseEvent, address: string): void {
  const web = URL.canParse(address) && /^https?:$/.test(new URL(address).protocol);
  if (web && (event.ctrlKey || event.metaKey))
    window.open(address, "_blank", "noopener,noreferrer");
}

// A terminal in an element of the page. What it is told to show is drawn, never made into HTML;
// titles and clipboard writes that the output asks for come to nothing.
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
      // The search's marks are made with it.
      allowProposedApi: true,
      // Typing starts once there is a session that takes it.
      disableStdin: true,
      linkHandler: { activate: follow, hover, leave },
    });
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
    // Ctrl+K is the shell's here, and not the console's.
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
      ...{ theme: terminalTheme(dark), fontSize, screenReaderMode: screenReader },
    });
    this.terminal.textarea?.setAttribute("aria-label", label);
  }

  get size(): { columns: number; rows: number } {
    return { columns: this.terminal.cols, rows: this.terminal.rows };
  }

  // As large as there is room for.
  fit(): void {
    if (this.#host.clientWidth > 0) this.#fit.fit();
  }

  // Empty, in a given size; typing waits until the scrollback is through, since old output may
  // ask the terminal questions whose answers nobody waits for any more.
  startOver(columns: number, rows: number): void {
    this.terminal.options.disableStdin = true;
    this.terminal.write(RESET);
    this.setSize(columns, rows);
  }

  // A size that somebody else chose: it is not told back.
  setSize(columns: number, rows: number): void {
    this.#resizing = false;
    this.terminal.resize(columns, rows);
    this.#resizing = true;
  }

  // After all that was written up to now.
  afterwards(then: () => void): void {
    this.terminal.write("", then);
  }

  takeInput(takes: boolean): void {
    this.terminal.options.disableStdin = !takes;
  }

  press(key: ScreenKey): void {
    this.terminal.input(bytesOf(key, this.terminal.modes.applicationCursorKeysMode));
  }

  // In brackets where the program asked for them.
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

  // Mouse reports of old, whose bytes are no characters.
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

  // Whether the terminal handles the key; the others are the console's, or the browser's own.
  #takesKey(event: KeyboardEvent): boolean {
    if (!event.ctrlKey || !event.shiftKey || event.altKey || event.metaKey) return true;
    const letter = event.key.toUpperCase();
    // The browser pastes by itself then, and the guard sees it.
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

  // The button may be let go outside the terminal.
  #watchSelection(): void {
    const told = () => {
      if (this.terminal.hasSelection()) this.#handlers.onSelected();
    };
    const { signal } = this.#listening;
    window.addEventListener("mouseup", () => setTimeout(told), { once: true, signal });
  }
}
