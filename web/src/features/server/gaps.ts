import type { TFunction } from "i18next";
import type { Gap } from "@/api/vps";
import type { Band } from "@/components/ui/plot-bands";
import { formatMoments } from "@/lib/format";

// Where the charts have a hole that is known never to be filled.
export function gapBands(gaps: readonly Gap[]): Band[] {
  return gaps
    .filter(({ kind }) => kind === "performance")
    .map(({ first_at, last_at }) => ({
      from: Date.parse(first_at) / 1000,
      to: Date.parse(last_at) / 1000,
    }));
}

export function gapText(t: TFunction, gap: Gap, language: string): string {
  const { kind, reason, count, first_at, last_at } = gap;
  const [from, to] = formatMoments(first_at, last_at, language);
  const n = new Intl.NumberFormat(language).format(count);
  return t("gaps.line", {
    // As many as nobody knows are many in grammar.
    count: count === 0 ? 2 : count,
    what: count === 0 ? t(`gaps.unknown.${kind}`) : t(`gaps.known.${kind}`, { count, n }),
    when: from === to ? t("gaps.at", { at: from }) : t("gaps.between", { from, to }),
    why: t(`gaps.reason.${reason}`),
  });
}
