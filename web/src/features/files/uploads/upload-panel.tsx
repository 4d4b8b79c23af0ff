import { Button } from "antd";
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { useRefreshFiles } from "@/api/files";
import type { Vps } from "@/api/vps";
import styles from "@/features/files/uploads/upload.module.css";
import { UploadLine } from "@/features/files/uploads/upload-line";
import { isEnded, type Upload } from "@/features/files/uploads/upload-queue";
import { dispatchUpload, uploader, useUploads } from "@/features/files/uploads/uploads";

const SHOWN = 20; // lines; the rest is only counted

// Uploads that need a decision come first, then the running ones.
const RANK: Readonly<Partial<Record<Upload["phase"], number>>> = {
  asking: 0,
  failed: 1,
  sending: 2,
  finishing: 2,
  retrying: 2,
  paused: 3,
  waiting: 4,
};

export function UploadPanel({ vps }: { vps: Vps }) {
  const { t } = useTranslation();
  const refresh = useRefreshFiles(vps.id);
  const all = useUploads(({ uploads }) => uploads);
  const mine = all.filter(({ server, phase }) => server === vps.id && phase !== "cancelled");
  const done = mine.filter(({ phase }) => phase === "done").length;
  const asking = mine.filter(({ phase }) => phase === "asking");

  // Lists a file as soon as it has arrived.
  const seen = useRef(done);
  useEffect(() => {
    if (done > seen.current) void refresh();
    seen.current = done;
  }, [done, refresh]);

  if (mine.length === 0) return null;
  const answerAll = (answer: (id: string) => void) => {
    for (const { id } of asking) answer(id);
  };
  const rank = ({ phase }: Upload) => RANK[phase] ?? 9;
  const shown = mine.toSorted((a, b) => rank(a) - rank(b)).slice(0, SHOWN);
  return (
    <section className={styles.panel} aria-label={t("upload.list")} data-testid="uploads">
      <header>
        <h2>{t("upload.count", { done, total: mine.length })}</h2>
        {asking.length > 1 && (
          <>
            <Button size="small" onClick={() => answerAll((id) => uploader.replace(id))}>
              {t("upload.replaceAll")}
            </Button>
            <Button size="small" onClick={() => answerAll((id) => uploader.cancel(id))}>
              {t("upload.skipAll")}
            </Button>
          </>
        )}
        {mine.some(isEnded) && (
          <Button size="small" type="text" onClick={() => dispatchUpload({ type: "cleared" })}>
            {t("upload.clear")}
          </Button>
        )}
      </header>
      <ul>
        {shown.map((upload) => (
          <UploadLine key={upload.id} upload={upload} />
        ))}
      </ul>
      {mine.length > SHOWN && <p>{t("action.more", { n: mine.length - SHOWN })}</p>}
    </section>
  );
}
