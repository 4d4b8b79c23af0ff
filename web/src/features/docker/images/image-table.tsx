import { Button } from "antd";
import { useTranslation } from "react-i18next";
import type { Image } from "@/api/docker";
import { Icon } from "@/components/ui/icons";
import { Ago } from "@/components/ui/relative-time";
import styles from "@/features/docker/docker.module.css";
import { imageName } from "@/features/docker/images/image-list";
import { escapeInvisible } from "@/lib/escape-invisible";
import { useFormat } from "@/lib/use-format";

interface Props {
  images: readonly Image[];
  removing: string | null;
  onRemove: ((image: Image) => void) | undefined;
}

export function ImageTable({ images, removing, onRemove }: Props) {
  const { t } = useTranslation();
  const format = useFormat();
  return (
    <div className={styles.box}>
      <table className={`${styles.table} ${styles.images}`}>
        <thead>
          <tr>
            <th scope="col">{t("docker.image")}</th>
            <th scope="col">{t("images.size")}</th>
            <th scope="col">{t("images.age")}</th>
            <th scope="col">{t("images.use")}</th>
            <th scope="col">
              <span className="sr-only">{t("docker.actions")}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {images.map((image) => (
            <tr key={image.id} data-testid="image-row">
              <th scope="row">
                {image.tags.length === 0 && <em>{t("images.untagged")}</em>}
                {image.tags.map((tag) => (
                  <span key={tag} className={styles.tag}>
                    {escapeInvisible(tag)}
                  </span>
                ))}
                <small>{image.id.replace(/^sha256:/, "").slice(0, 12)}</small>
              </th>
              <td>{format.size(image.size_bytes)}</td>
              <td>{image.created_at ? <Ago time={image.created_at} /> : "–"}</td>
              <td>
                {image.containers > 0
                  ? t("images.usedBy", { count: image.containers })
                  : t("images.unused")}
              </td>
              <td>
                {onRemove && (
                  <Button
                    size="small"
                    loading={removing === image.id}
                    disabled={image.containers > 0}
                    title={image.containers > 0 ? t("images.inUse") : undefined}
                    icon={<Icon name="trash" size={14} />}
                    aria-label={t("docker.actOn", {
                      act: t("docker.action.remove"),
                      name: escapeInvisible(imageName(image)),
                    })}
                    onClick={() => onRemove(image)}
                  />
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
