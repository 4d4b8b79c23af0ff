import i18next from "i18next";
import { beforeAll, expect, test } from "vitest";
import type { Gap } from "@/api/vps";
import en from "@/app/locales/en.json";
import zhCN from "@/app/locales/zh-CN.json";
import { gapBands, gapText } from "@/features/metrics/data-gaps";
import { testFormat } from "@/testing/format";

beforeAll(async () => {
  await i18next.init({
    lng: "en",
    resources: { en: { translation: en }, "zh-CN": { translation: zhCN } },
    interpolation: { escapeValue: false },
  });
});

function gap(change: Partial<Gap> = {}): Gap {
  const at = (hour: number, minute: number) =>
    new Date(Date.UTC(2020, 0, 5, hour, minute)).toISOString();
  return {
    kind: "performance",
    reason: "space",
    count: 1204,
    first_at: at(14, 2),
    last_at: at(14, 40),
    ...change,
  };
}

test("a gap names the number of samples, the time and the reason", () => {
  expect(gapText(i18next.t, gap(), testFormat())).toBe(
    "1,204 samples from 5 Jan 2020, 14:02 to 5 Jan 2020, 14:40 were lost: the agent's buffer was full.",
  );
  expect(
    gapText(i18next.getFixedT("zh-CN"), gap(), testFormat({ language: "zh-CN", locale: "zh-CN" })),
  ).toBe("2020年1月5日 14:02 至 2020年1月5日 14:40 的 1,204 个样本已丢失：Agent 的缓冲区已满。");
});

test("a count of zero means that the number is unknown", () => {
  const text = gapText(i18next.t, gap({ count: 0, reason: "damaged" }), testFormat());
  expect(text).toMatch(/^An unknown number of samples from .* were lost: .*damaged\.$/);
});

test("one sample is described by a single time", () => {
  const { first_at } = gap();
  const text = gapText(i18next.t, gap({ count: 1, last_at: first_at }), testFormat());
  expect(text).toMatch(/^1 sample of .*14:02:00 was lost/);
});

test("only gaps of performance data are shaded on the charts", () => {
  const bands = gapBands([gap(), gap({ kind: "docker" })]);
  expect(bands).toEqual([
    { from: Date.parse(gap().first_at) / 1000, to: Date.parse(gap().last_at) / 1000 },
  ]);
});
