import { useQuery } from "@tanstack/react-query";
import { App, Button, Input } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { type Image, imagesQuery, usePruneImages, useRemoveImage } from "@/api/docker";
import { EmptyState } from "@/components/ui/empty-state";
import { FailureNote } from "@/components/ui/failure-note";
import { Icon } from "@/components/ui/icons";
import styles from "@/features/docker/docker.module.css";
import { EngineNote } from "@/features/docker/engine-note";
import { byName, imageName, matchesImage } from "@/features/docker/images/image-list";
import { ImageTable } from "@/features/docker/images/image-table";
import { PruneImages } from "@/features/docker/images/prune-images";
import { PullImage } from "@/features/docker/images/pull-image";
import { useServerContext } from "@/features/server/server-context";
import { escapeInvisible } from "@/lib/escape-invisible";

export function ImagesView() {
  const { vps } = useServerContext();
  const { t } = useTranslation();
  const { modal } = App.useApp();
  const [text, setText] = useState("");
  const [dialog, setDialog] = useState<"pull" | "prune" | null>(null);
  const { data, error, refetch } = useQuery(imagesQuery(vps.id));
  const remove = useRemoveImage(vps.id);
  const prune = usePruneImages(vps.id);
  if (!data) {
    if (error) return <EngineNote vps={vps} error={error} onRetry={() => void refetch()} />;
    return <div className={styles.placeholder} role="status" aria-label={t("loading")} />;
  }
  const canAct = vps.powers?.docker === "actions" && !error;
  const ask = async (image: Image) => {
    const confirmed = await modal.confirm({
      title: t("images.confirm", { image: escapeInvisible(imageName(image)), server: vps.name }),
      content:
        image.tags.length > 1
          ? t("images.consequenceTags", { n: image.tags.length })
          : t("images.consequence"),
      okText: t("docker.action.remove"),
      okButtonProps: { danger: true },
      cancelText: t("action.cancel"),
      focusable: { autoFocusButton: "cancel" },
    });
    if (confirmed) remove.mutate({ id: image.id, force: image.tags.length > 1 });
  };
  const { items } = data;
  const shown = byName(items).filter((image) => matchesImage(image, text));
  return (
    <div className={styles.docker}>
      <EngineNote vps={vps} error={error} onRetry={() => void refetch()} />
      <div className={styles.bar}>
        <Input
          allowClear
          className={styles.search ?? ""}
          prefix={<Icon name="search" size={14} />}
          placeholder={t("images.search")}
          aria-label={t("images.search")}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
        {canAct && (
          <span className={styles.actions}>
            <Button
              type="primary"
              icon={<Icon name="download" size={14} />}
              onClick={() => setDialog("pull")}
            >
              {t("images.pull")}
            </Button>
            <Button
              icon={<Icon name="trash" size={14} />}
              onClick={() => setDialog("prune")}
              disabled={items.length === 0}
            >
              {t("images.prune")}
            </Button>
          </span>
        )}
      </div>
      {data.truncated && (
        <p className={styles.note}>{t("images.truncated", { n: items.length })}</p>
      )}
      {remove.error && <FailureNote error={remove.error} />}
      {items.length === 0 ? (
        <EmptyState icon="image" title={t("images.emptyTitle")} text={t("images.emptyText")} />
      ) : (
        <ImageTable
          images={shown}
          removing={remove.isPending ? remove.variables.id : null}
          onRemove={canAct ? (image) => void ask(image) : undefined}
        />
      )}
      {dialog === "pull" && <PullImage vps={vps} onClose={() => setDialog(null)} />}
      {dialog === "prune" && (
        <PruneImages vps={vps} images={items} prune={prune} onClose={() => setDialog(null)} />
      )}
    </div>
  );
}
