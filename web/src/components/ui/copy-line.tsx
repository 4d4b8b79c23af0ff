import { Button } from "antd";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import styles from "@/components/ui/copy-line.module.css";
import { Icon } from "@/components/ui/icons";
import { copyText } from "@/lib/clipboard";

const SHOWN = 2_000; // ms

export function CopyLine({ text, disabled = false }: { text: string; disabled?: boolean }) {
  const { t } = useTranslation();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return undefined;
    const timer = setTimeout(() => setCopied(false), SHOWN);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <div className={disabled ? `${styles.line} ${styles.dead}` : styles.line}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <pre tabIndex={0}>
        <code>{text}</code>
      </pre>
      <Button
        type="primary"
        disabled={disabled}
        icon={<Icon name={copied ? "check" : "copy"} size={14} />}
        onClick={() => void copyText(text).then(setCopied)}
      >
        <span aria-live="polite">{copied ? t("action.copied") : t("action.copy")}</span>
      </Button>
    </div>
  );
}
