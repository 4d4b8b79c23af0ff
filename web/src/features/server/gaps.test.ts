import i18next from "i18next";
import { beforeAll, expect, test } from "vitest";
import type { Gap } from "@/api/vps";
import { gapBands, gapText } from "@/features/server/gaps";
import en from "@/lib/locales/en.json";
import zhCN from "@/lib/locales/zh-CN.json";

beforeAll(async () => {
  await i18next.init({
    lng: "en",
    resources: { en: { translation: en }, "zh-CN": { translation: zhCN } },
    interpolation: { escapeValue: false },
  });
});

function gap(change: Partial<Gap> = {}): Gap {
  const at = (hour: number, minute: number) => new Date(2020, 0, 5, hour, minute).toISOString();
  return {
    kind: "performance",
    reason: "space",
    count: 1204,
    first_at: at(14, 2),
    last_at: at(14, 40),
    ...change,
  };
}

test("a gap is told with its number, its time and its reason", () => {
  expect(gapText(i18next.t, gap(), "en")).toBe(
    "1,204 samples from Jan 5, 2020, 14:02 to Jan 5, 2020, 14:40 were given up: the agent's buffer was full.",
  );
  expect(gapText(i18next.getFixedT("zh-CN"), gap(), "zh-CN")).toBe(
    "2020年1月5日 14:02 至 2020年1月5日 14:40 的 1,204 个样本已被放弃：代理的缓冲区已满。",
  );
});

test("a count of nought is a number nobody knows", () => {
  const text = gapText(i18next.t, gap({ count: 0, reason: "damaged" }), "en");
  expect(text).toMatch(/^An unknown number of samples from .* were given up: .*damaged\.$/);
});

test("one sample is told with its one time", () => {
  const { first_at } = gap();
  const text = gapText(i18next.t, gap({ count: 1, last_at: first_at }), "en");
  expect(text).toMatch(/^1 sample of .*14:02:00 was given up/);
});

test("gaps of other kinds are not shaded on the charts of performance", () => {
  const bands = gapBands([gap(), gap({ kind: "docker" })]);
  expect(bands).toEqual([
    { from: Date.parse(gap().first_at) / 1000, to: Date.parse(gap().last_at) / 1000 },
  ]);
});
