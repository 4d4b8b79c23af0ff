import type { ISearchOptions } from "@xterm/addon-search";
import { Button } from "antd";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Icon } from "@/components/ui/icons";
import type { LiveTerminal } from "@/features/terminal/live/live-terminal";
import styles from "@/features/terminal/terminal.module.css";

// The add-on accepts #RRGGBB only. These are visible in both themes.
const MARKS: ISearchOptions = {
  decorations: {
    matchBackground: "#7a5c12",
    activeMatchBackground: "#1769d6",
    matchOverviewRuler: "#d99a1c",
    activeMatchColorOverviewRuler: "#4f9cf9",
  },
};

export function SearchBar({ terminal }: { terminal: LiveTerminal }) {
  const { t } = useTranslation();
  const { search, terminal: screen } = terminal.screen;
  const input = useRef<HTMLInputElement>(null);
  const [text, setText] = useState("");
  const [found, setFound] = useState({ at: -1, count: 0 });

  useEffect(() => {
    input.current?.focus();
    const results = search.onDidChangeResults(({ resultIndex, resultCount }) =>
      setFound({ at: resultIndex, count: resultCount }),
    );
    return () => {
      results.dispose();
      search.clearDecorations();
    };
  }, [search]);

  const close = () => {
    terminal.store.setState({ searching: false });
    screen.focus();
  };
  const next = () => search.findNext(text, MARKS);
  const previous = () => search.findPrevious(text, MARKS);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape") close();
    else if (event.key === "Enter") (event.shiftKey ? previous : next)();
    else return;
    event.preventDefault();
  };
  const counted = found.at >= 0 ? `${found.at + 1} / ${found.count}` : String(found.count);
  return (
    <search className={styles.search}>
      <input
        ref={input}
        type="text"
        aria-label={t("terminal.search")}
        placeholder={t("terminal.search")}
        value={text}
        spellCheck={false}
        autoComplete="off"
        onKeyDown={onKeyDown}
        onChange={({ target }) => {
          setText(target.value);
          if (target.value === "") search.clearDecorations();
          else search.findPrevious(target.value, { ...MARKS, incremental: true });
        }}
      />
      <span role="status">{text !== "" && counted}</span>
      <Button size="small" type="text" aria-label={t("terminal.previous")} onClick={previous}>
        ↑
      </Button>
      <Button size="small" type="text" aria-label={t("terminal.next")} onClick={next}>
        ↓
      </Button>
      <Button
        size="small"
        type="text"
        aria-label={t("action.close")}
        icon={<Icon name="close" size={14} />}
        onClick={close}
      />
    </search>
  );
}
