import { UnicodeGraphemesAddon } from "@xterm/addon-unicode-graphemes";
import type { Terminal } from "@xterm/xterm";

// Give an emoji two cells, and also a sequence of joined emoji, as programs on the server expect.
// By default the terminal has the widths of Unicode 6, in which emoji are narrow. The add-on needs
// the option `allowProposedApi`.
export function widenEmoji(terminal: Terminal): void {
  terminal.loadAddon(new UnicodeGraphemesAddon());
}
