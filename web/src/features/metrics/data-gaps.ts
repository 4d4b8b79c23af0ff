import type { TFunction } from "i18next";
import type { Gap } from "@/api/vps";
import type { Band } from "@/components/plot/plot-bands";
import type { Format } from "@/lib/format/format";

// The time ranges for which performance data is lost.
export function gapBands(gaps: readonly Gap[]): Band[] {
  return gaps
    .filter(({ kind }) => kind === "performance")
    .map(({ first_at, last_at }) => ({
      from: Date.parse(first_at) / 1000,
      to: Date.parse(last_at) / 1000,
    }));
}

export function gapText(t: TFunction, gap: Gap, format: Format): string {
  const { kind, reason, count, first_at, last_at } = gap;
  const [from, to] = format.moments(first_at, last_at);
  const n = format.count(count);
  return t("dataGaps.line", {
    // An unknown number takes the plural.
    count: count === 0 ? 2 : count,
    what: count === 0 ? t(`dataGaps.unknown.${kind}`) : t(`dataGaps.known.${kind}`, { count, n }),
    when: from === to ? t("dataGaps.at", { at: from }) : t("dataGaps.between", { from, to }),
    why: t(`dataGaps.reason.${reason}`),
  });
}
