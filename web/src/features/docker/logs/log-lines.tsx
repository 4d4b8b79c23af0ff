import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useLayoutEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import styles from "@/features/docker/logs/log.module.css";
import { type LogLine, split } from "@/features/docker/logs/log-buffer";
import { escapeInvisible } from "@/lib/escape-invisible";
import { useFormat } from "@/lib/use-format";

const LINE_HEIGHT = 18; // px
const OVERSCAN = 20;
const NEAR = 24; // px; this close to the bottom counts as the bottom

interface Props {
  lines: readonly LogLine[];
  term: string;
  times: boolean;
  wrap: boolean;
  // Index of the line to scroll to.
  target: number | undefined;
  following: boolean;
  onScrollUp: () => void;
  onBottom: () => void;
}

export function LogLines(props: Props) {
  const { lines, term, times, wrap, target, following, onScrollUp, onBottom } = props;
  const { t } = useTranslation();
  const box = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => LINE_HEIGHT,
    getItemKey: (index) => lines[index]?.id ?? index,
    overscan: OVERSCAN,
  });
  const size = rows.getTotalSize();

  // biome-ignore lint/correctness/useExhaustiveDependencies: these options change the height of each line
  useEffect(() => rows.measure(), [wrap, times]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: new and measured lines move the bottom
  useLayoutEffect(() => {
    const element = box.current;
    if (element && following) element.scrollTop = element.scrollHeight;
  }, [following, lines, size, wrap, times]);

  const id = target === undefined ? undefined : lines[target]?.id;
  // biome-ignore lint/correctness/useExhaustiveDependencies: scroll only when the target line changes
  useEffect(() => {
    if (target !== undefined && !following) rows.scrollToIndex(target, { align: "center" });
  }, [id, following]);

  // Scrolling up pauses the log for reading; reaching the bottom resumes it.
  const top = useRef(0);
  const onScroll = () => {
    const element = box.current;
    if (!element) return;
    const { scrollTop, scrollHeight, clientHeight } = element;
    const bottom = scrollHeight - scrollTop - clientHeight < NEAR;
    if (scrollTop < top.current - 1 && !bottom && following) onScrollUp();
    else if (scrollTop > top.current && bottom && !following && target === undefined) onBottom();
    top.current = scrollTop;
  };

  return (
    <div
      ref={box}
      className={wrap ? `${styles.lines} ${styles.wrap}` : styles.lines}
      role="log"
      aria-live="off"
      aria-label={t("logs.title")}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard
      tabIndex={0}
      onScroll={onScroll}
      data-testid="log"
    >
      {lines.length === 0 && <p className={styles.empty}>{t("logs.empty")}</p>}
      <div style={{ height: size, position: "relative" }}>
        <div
          className={styles.window}
          style={{ transform: `translateY(${rows.getVirtualItems()[0]?.start ?? 0}px)` }}
        >
          {rows.getVirtualItems().map(({ index, key }) => {
            const line = lines[index];
            return (
              line && (
                <div key={key} data-index={index} ref={rows.measureElement}>
                  <Line line={line} term={term} times={times} current={index === target} />
                </div>
              )
            );
          })}
        </div>
      </div>
    </div>
  );
}

interface LineProps {
  line: LogLine;
  term: string;
  times: boolean;
  current: boolean;
}

const Line = memo(function Line({ line, term, times, current }: LineProps) {
  const { t } = useTranslation();
  const format = useFormat();
  const { time, stream, text, gap } = line;
  let from = 0;
  return (
    <>
      {gap && <p className={styles.gap}>{t("logs.gap")}</p>}
      <p className={`${styles.line} ${styles[stream]}`} data-stream={stream}>
        {times && <time dateTime={time ?? undefined}>{time ? format.logTime(time) : "–"}</time>}
        <b title={stream}>{stream === "stderr" ? "err" : "out"}</b>
        <span>
          {split(text, term).map((piece, index) => {
            const key = from;
            from += piece.length + 1;
            return index % 2 === 1 ? (
              <mark key={key} className={current ? styles.current : undefined}>
                {escapeInvisible(piece)}
              </mark>
            ) : (
              escapeInvisible(piece)
            );
          })}
        </span>
      </p>
    </>
  );
});
