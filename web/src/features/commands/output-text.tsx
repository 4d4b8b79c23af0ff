import { useLayoutEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import styles from "@/features/commands/commands.module.css";
import { plainOutput } from "@/features/commands/plain-output";
import type { Piece } from "@/features/commands/run-progress";

interface Props {
  pieces: readonly Piece[];
  // Nothing will come any more.
  empty: boolean;
}

const NEAR = 24; // px

// Follows what is added, for as long as one looks at the end of it.
export function OutputText({ pieces, empty }: Props) {
  const { t } = useTranslation();
  const box = useRef<HTMLPreElement>(null);
  const following = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each piece moves the end
  useLayoutEffect(() => {
    if (box.current && following.current) box.current.scrollTop = box.current.scrollHeight;
  }, [pieces]);
  if (pieces.length === 0) return empty ? <p className={styles.reason}>{t("run.silent")}</p> : null;
  return (
    <pre
      ref={box}
      className={styles.output}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
      tabIndex={0}
      onScroll={({ currentTarget: { scrollTop, clientHeight, scrollHeight } }) => {
        following.current = scrollTop + clientHeight >= scrollHeight - NEAR;
      }}
    >
      {pieces.map(({ stream, text }, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: pieces are only added to the end
        <span key={index} className={stream === "stderr" ? styles.stderr : undefined}>
          {plainOutput(text)}
        </span>
      ))}
    </pre>
  );
}
