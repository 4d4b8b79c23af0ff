import { Modal } from "antd";
import { useTranslation } from "react-i18next";
import type { Image, usePruneImages } from "@/api/docker";
import type { Vps } from "@/api/vps";
import { FailureNote } from "@/components/ui/failure-note";
import { unneeded } from "@/features/docker/images";
import { formatBytes } from "@/lib/format";

interface Props {
  vps: Vps;
  images: readonly Image[];
  prune: ReturnType<typeof usePruneImages>;
  onClose: () => void;
}

export function PruneImages({ vps, images, prune, onClose }: Props) {
  const { t } = useTranslation();
  const gone = unneeded(images);
  const bytes = gone.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
  const close = () => {
    prune.reset();
    onClose();
  };
  return (
    <Modal
      open
      title={t("images.pruneAsk", { server: vps.name })}
      okText={prune.data ? t("action.close") : t("images.prune")}
      okButtonProps={{ danger: !prune.data }}
      cancelText={t("action.cancel")}
      cancelButtonProps={prune.data ? { style: { display: "none" } } : {}}
      confirmLoading={prune.isPending}
      onOk={() => (prune.data ? close() : prune.mutate())}
      onCancel={close}
    >
      {prune.data ? (
        <p role="status">
          {t("images.pruned", {
            count: prune.data.images,
            size: formatBytes(prune.data.reclaimed_bytes),
          })}
        </p>
      ) : (
        <>
          <p>{t("images.pruneText")}</p>
          <p>
            {gone.length > 0
              ? t("images.pruneWill", { count: gone.length, size: formatBytes(bytes) })
              : t("images.pruneNothing")}
          </p>
        </>
      )}
      {prune.error && <FailureNote error={prune.error} />}
    </Modal>
  );
}
