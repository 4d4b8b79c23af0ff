import { Button } from "antd";
import { useTranslation } from "react-i18next";
import styles from "@/components/ui/copy-line.module.css";
import { Icon } from "@/components/ui/icons";
import { useCopied } from "@/components/ui/use-copied";

// A line of text to be pasted elsewhere, with a button that copies it.
export function CopyLine({ text, disabled = false }: { text: string; disabled?: boolean }) {
  const { t } = useTranslation();
  const [copied, copy] = useCopied();
  return (
    <div className={disabled ? `${styles.line} ${styles.dead}` : styles.line}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard */}
      <pre tabIndex={0}>
        <code>{text}</code>
      </pre>
      <Button
        type="primary"
        disabled={disabled}
        icon={<Icon name={copied ? "check" : "copy"} size={14} />}
        onClick={() => copy(text)}
      >
        <span aria-live="polite">{copied ? t("action.copied") : t("action.copy")}</span>
      </Button>
    </div>
  );
}
