import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { CopyButton } from "@/components/ui/copy-button";
import styles from "@/features/account/security/security.module.css";
import { saveTextFile } from "@/lib/download";

interface Props {
  codes: readonly string[];
  onDone: () => void;
}

// Recovery codes that were made just now. They are shown only here.
export function RecoveryCodes({ codes, onDone }: Props) {
  const { t } = useTranslation();
  const text = () => `${codes.join("\n")}\n`;
  return (
    <>
      <p>{t("security.codesHint")}</p>
      <ol className={styles.codes} data-testid="recovery-codes">
        {codes.map((code) => (
          <li key={code}>{code}</li>
        ))}
      </ol>
      <div className={styles.actions}>
        <CopyButton wide label={t("action.copy")} text={text} />
        <Button size="small" onClick={() => saveTextFile("flotilla-recovery-codes.txt", text())}>
          {t("security.download")}
        </Button>
        <Button size="small" type="primary" onClick={onDone}>
          {t("security.saved")}
        </Button>
      </div>
    </>
  );
}
