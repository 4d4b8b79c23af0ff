import { useQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { factorsQuery } from "@/api/factors";
import { FailureNote } from "@/components/ui/failure-note";
import { RenewCodes } from "@/features/account/security/renew-codes";
import styles from "@/features/account/security/security.module.css";
import { TurnOff } from "@/features/account/security/turn-off";
import { TurnOn } from "@/features/account/security/turn-on";
import { useFormat } from "@/lib/use-format";

type Open = "on" | "off" | "codes" | null;

// The card of the settings page about the second factor.
export function SecurityCard({ className }: { className: string | undefined }) {
  const { t } = useTranslation();
  const format = useFormat();
  const { data, error, refetch } = useQuery(factorsQuery);
  const [open, setOpen] = useState<Open>(null);
  const close = () => setOpen(null);
  return (
    <section className={className} aria-labelledby="security-title" data-testid="security">
      <h2 id="security-title">{t("security.title")}</h2>
      <p>{t("security.hint")}</p>
      {error && <FailureNote error={error} onRetry={() => void refetch()} />}
      {data?.totp && (
        <>
          <p className={styles.state}>
            <strong>{t("security.on", { since: format.dateTime(data.totp.confirmed_at) })}</strong>
          </p>
          <p className={data.recovery_codes < 3 ? styles.few : undefined}>
            {t("security.codesLeft", { count: data.recovery_codes })}
          </p>
        </>
      )}
      {data && !data.totp && (
        <p className={styles.state}>
          <strong>{t("security.off")}</strong>
        </p>
      )}
      <div className={styles.actions}>
        {data?.totp ? (
          <>
            <Button onClick={() => setOpen("codes")}>{t("security.renew")}</Button>
            <Button danger onClick={() => setOpen("off")}>
              {t("security.turnOff")}
            </Button>
          </>
        ) : (
          <Button type="primary" disabled={!data} onClick={() => setOpen("on")}>
            {t("security.turnOn")}
          </Button>
        )}
      </div>
      {open === "on" && <TurnOn onClose={close} />}
      {open === "off" && <TurnOff onClose={close} />}
      {open === "codes" && <RenewCodes onClose={close} />}
    </section>
  );
}
