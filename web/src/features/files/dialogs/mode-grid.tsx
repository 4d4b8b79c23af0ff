import { Checkbox } from "antd";
import { useTranslation } from "react-i18next";
import styles from "@/features/files/dialogs/dialogs.module.css";
import { bitOf, SET_GROUP, SET_USER, STICKY, WHAT, WHOSE } from "@/features/files/dialogs/mode";

const SPECIAL = [
  ["setUser", SET_USER],
  ["setGroup", SET_GROUP],
  ["sticky", STICKY],
] as const;

interface Props {
  mode: number | null;
  onMode: (mode: number) => void;
}

export function ModeGrid({ mode, onMode }: Props) {
  const { t } = useTranslation();
  const has = (bit: number) => ((mode ?? 0) & bit) !== 0;
  const flip = (bit: number) => onMode((mode ?? 0) ^ bit);
  return (
    <>
      <table className={styles.grid}>
        <thead>
          <tr>
            <td />
            {WHAT.map((what) => (
              <th key={what} scope="col">
                {t(`files.what.${what}`)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {WHOSE.map((whose) => (
            <tr key={whose}>
              <th scope="row">{t(`files.whose.${whose}`)}</th>
              {WHAT.map((what) => (
                <td key={what}>
                  <Checkbox
                    aria-label={`${t(`files.whose.${whose}`)}: ${t(`files.what.${what}`)}`}
                    checked={has(bitOf(whose, what))}
                    onChange={() => flip(bitOf(whose, what))}
                  />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <div className={styles.special}>
        {SPECIAL.map(([name, bit]) => (
          <Checkbox key={name} checked={has(bit)} onChange={() => flip(bit)}>
            {t(`files.special.${name}`)}
          </Checkbox>
        ))}
      </div>
    </>
  );
}
