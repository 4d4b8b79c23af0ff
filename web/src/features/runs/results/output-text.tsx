import { useLayoutEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { plainOutput } from "@/features/runs/results/plain-output";
import type { OutputChunk } from "@/features/runs/results/target";
import styles from "@/features/runs/runs.module.css";

interface Props {
  chunks: readonly OutputChunk[];
  // True if no more output will arrive.
  empty: boolean;
}

const NEAR = 24; // px

// Shows output, and follows it while the end is in view.
export function OutputText({ chunks, empty }: Props) {
  const { t } = useTranslation();
  const box = useRef<HTMLPreElement>(null);
  const following = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each chunk moves the bottom
  useLayoutEffect(() => {
    if (box.current && following.current) box.current.scrollTop = box.current.scrollHeight;
  }, [chunks]);
  if (chunks.length === 0) return empty ? <p className={styles.reason}>{t("run.silent")}</p> : null;
  return (
    <pre
      ref={box}
      className={styles.output}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard
      tabIndex={0}
      onScroll={({ currentTarget: { scrollTop, clientHeight, scrollHeight } }) => {
        following.current = scrollTop + clientHeight >= scrollHeight - NEAR;
      }}
    >
      {chunks.map(({ stream, text }, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: chunks are only added to the end
        <span key={index} className={stream === "stderr" ? styles.stderr : undefined}>
          {plainOutput(text)}
        </span>
      ))}
    </pre>
  );
}
