import type { Terminal } from "@xterm/xterm";
import { afterEach, expect, test } from "vitest";
import { Screen, type ScreenHandlers } from "@/features/terminal/live/screen";
import { PlayerScreen } from "@/features/terminal/player/player-screen";

// As wcwidth(3) has it, with a sequence of joined emoji as one character.
const CELLS = { a: 1, ｱ: 1, 中: 2, 한: 2, 𠮷: 2, "💾": 2, "🚀": 2, "✅": 2, "👨‍👩‍👧": 2, "🇨🇳": 2 };

const disposing: { dispose: () => void }[] = [];

afterEach(() => {
  for (const one of disposing.splice(0)) one.dispose();
});

async function cellsOf(terminal: Terminal, text: string): Promise<number> {
  await new Promise<void>((done) => terminal.write(`\u001b[2J\u001b[H${text}`, done));
  return terminal.buffer.active.cursorX;
}

function liveTerminal(): Terminal {
  const look = { dark: false, fontSize: 13, screenReader: false, label: "Terminal" };
  const ignore = () => undefined;
  const handlers: ScreenHandlers = {
    onInput: ignore,
    onResize: ignore,
    onPaste: ignore,
    onShortcut: ignore,
    onLink: ignore,
    onSelected: ignore,
  };
  const screen = new Screen(document.createElement("div"), look, handlers);
  disposing.push(screen);
  return screen.terminal;
}

function playerTerminal(): Terminal {
  const screen = new PlayerScreen(document.createElement("div"), false);
  disposing.push(screen);
  return screen.terminal;
}

test.each([
  ["the live terminal", liveTerminal],
  ["the player of recordings", playerTerminal],
])("%s gives an emoji two cells", async (_name, terminal) => {
  const opened = terminal();
  const cells: Record<string, number> = {};
  for (const text of Object.keys(CELLS)) cells[text] = await cellsOf(opened, text);
  expect(cells).toEqual(CELLS);
});
