import { createStore } from "zustand";
import { findSession } from "@/api/shell";
import { withControl } from "@/features/terminal/live/keys";
import type { Paste } from "@/features/terminal/live/paste-guard";
import { Screen, type ScreenLook } from "@/features/terminal/live/screen";
import { shellAddress } from "@/features/terminal/live/shell-address";
import { type ConnectionState, ShellConnection } from "@/features/terminal/live/shell-connection";
import type { Ready, ServerFrame, Viewer } from "@/features/terminal/live/shell-frames";
import type { Tab } from "@/features/terminal/saved-tabs";

export interface TerminalState {
  link: ConnectionState;
  ready: Ready | null;
  viewers: readonly Viewer[];
  // The last error message of the server.
  complaint: string | null;
  // A paste that the user must confirm.
  paste: Paste | null;
  // The target of the link under the mouse.
  address: string | null;
  searching: boolean;
  // Turns the next typed character into a control character.
  control: boolean;
  // Time of the last copy, ms since the epoch.
  copiedAt: number;
}

interface Options {
  vpsId: string;
  tab: Tab;
  look: ScreenLook;
  copyOnSelect: () => boolean;
  onSession: (session: string) => void;
  onLeave: () => void;
  // Called when the session has ended or was refused.
  onOver: () => void;
}

const START: TerminalState = {
  link: { phase: "connecting" },
  ready: null,
  viewers: [],
  complaint: null,
  paste: null,
  address: null,
  searching: false,
  control: false,
  copiedAt: 0,
};

const FIT_PAUSE = 120; // ms
// Input starts after this time even if no frame marks the end of the scrollback.
const REPLAY_TIMEOUT = 2_000; // ms

// A terminal session with its screen.
export class LiveTerminal {
  readonly store = createStore<TerminalState>(() => START);
  readonly screen: Screen;
  readonly #link: ShellConnection;
  readonly #options: Options;
  readonly #room: ResizeObserver;
  #fitting: ReturnType<typeof setTimeout> | undefined;
  #replay: ReturnType<typeof setTimeout> | undefined;
  #disposed = false;

  constructor(host: HTMLElement, options: Options) {
    this.#options = options;
    const { vpsId, tab, look } = options;
    this.screen = new Screen(host, look, {
      onInput: (bytes) => this.#type(bytes),
      onResize: (columns, rows) => this.#link.send({ type: "resize", columns, rows }),
      onPaste: (paste) => this.store.setState({ paste }),
      onShortcut: (letter) =>
        letter === "F" ? this.store.setState({ searching: true }) : options.onLeave(),
      onLink: (address) => this.store.setState({ address }),
      onSelected: () => {
        if (options.copyOnSelect()) void this.copy();
      },
    });
    this.#link = new ShellConnection({
      session: tab.session,
      container: tab.container,
      observe: tab.observe,
      size: () => this.screen.size,
      address: (request) => shellAddress(vpsId, request),
      find: (session) => findSession(vpsId, session),
      onState: (link) => {
        if (link.phase !== "open") this.screen.takeInput(false);
        this.store.setState({ link });
        if (link.phase === "refused" || link.phase === "ended") options.onOver();
      },
      onReady: (ready) => this.#begin(ready),
      onOutput: (bytes, handled) => this.screen.terminal.write(bytes, handled),
      onFrame: (frame) => this.#take(frame),
    });
    this.#room = new ResizeObserver(() => this.#fitSoon());
    this.#room.observe(host);
  }

  // Disconnect. The session keeps running.
  dispose(): void {
    this.#disposed = true;
    this.#room.disconnect();
    clearTimeout(this.#fitting);
    clearTimeout(this.#replay);
    this.#link.close();
    this.screen.dispose();
  }

  get drives(): boolean {
    return this.store.getState().ready?.role === "driver";
  }

  // Only the viewer in control sets the size.
  fit(): void {
    if (this.drives) this.screen.fit();
  }

  setLook(look: ScreenLook): void {
    this.screen.setLook(look);
    this.#fitSoon();
  }

  end(): void {
    this.#link.send({ type: "close" });
  }

  retryNow(): void {
    this.#link.retryNow();
  }

  async copy(): Promise<void> {
    if (await this.screen.copy()) this.store.setState({ copiedAt: Date.now() });
  }

  #fitSoon(): void {
    clearTimeout(this.#fitting);
    this.#fitting = setTimeout(() => this.fit(), FIT_PAUSE);
  }

  #type(bytes: Uint8Array<ArrayBuffer>): void {
    if (!this.store.getState().control) {
      this.#link.type(bytes);
      return;
    }
    this.store.setState({ control: false });
    this.#link.type(new TextEncoder().encode(withControl(new TextDecoder().decode(bytes))));
  }

  #begin(ready: Ready): void {
    this.store.setState({ ready, complaint: null });
    this.screen.startOver(ready.columns, ready.rows);
    clearTimeout(this.#replay);
    if (ready.resumed) this.#replay = setTimeout(() => this.#endReplay(), REPLAY_TIMEOUT);
    else this.#endReplay();
    this.#options.onSession(ready.session);
  }

  #endReplay(): void {
    clearTimeout(this.#replay);
    this.screen.afterwards(() => {
      if (this.#disposed || this.store.getState().link.phase !== "open") return;
      this.screen.takeInput(this.drives);
      this.fit();
    });
  }

  #take(frame: Exclude<ServerFrame, Ready>): void {
    if (frame.type === "viewers") {
      this.store.setState({ viewers: frame.viewers });
      // This frame follows the scrollback.
      this.#endReplay();
    } else if (frame.type === "resize") {
      if (!this.drives) this.screen.setSize(frame.columns, frame.rows);
    } else if (frame.type === "error") {
      this.store.setState({ complaint: frame.reason });
    }
  }
}
