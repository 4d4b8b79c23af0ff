import { describe, expect, test } from "vitest";
import type { Series, SeriesHistory } from "@/api/series";
import { groupSeries, seriesColumns, seriesData } from "@/features/metrics/custom-series";

const NOON = Date.parse("2026-05-01T12:00:00Z") / 1000;

let made = 0;
function series(
  name: string,
  labels: Record<string, string>,
  time: string | null = "12:30",
): Series {
  made += 1;
  const last_time = time && `2026-05-01T${time}:00Z`;
  return { id: made, name, labels, last_time, last_value: time && 1 } as Series;
}

function labels(all: readonly Series[]): string[] {
  return groupSeries(all, NOON).shown.flatMap(({ lines }) => lines.map(({ label }) => label));
}

describe("series", () => {
  test("are grouped by name, in a stable order", () => {
    const all = [series("queue", { q: "web" }), series("load", {}), series("queue", { q: "mail" })];
    const { shown } = groupSeries(all, NOON);
    expect(shown.map(({ name }) => name)).toEqual(["load", "queue"]);
    expect(shown[1]?.lines.map(({ id }) => id)).toEqual([all[2]?.id, all[0]?.id]);
  });

  test("are named by the labels that differ", () => {
    const both = [
      series("queue", { q: "web", region: "eu" }),
      series("queue", { q: "mail", region: "eu" }),
    ];
    expect(labels(both)).toEqual(["q=mail", "q=web"]);
    expect(labels([series("queue", { q: "web", region: "eu" })])).toEqual(["q=web, region=eu"]);
    expect(labels([series("queue", {}), series("queue", { q: "web" })])).toEqual([
      "q=web",
      "queue",
    ]);
  });

  test("without recent data are listed by name only", () => {
    const all = [series("old", {}, "11:59"), series("new", {}), series("never", {}, null)];
    const { shown, silent } = groupSeries(all, NOON);
    expect(shown.map(({ name }) => name)).toEqual(["new"]);
    expect(silent).toEqual(["never", "old"]);
  });

  test("keep their label while another of the same name has no data", () => {
    const all = [series("queue", { q: "web" }), series("queue", { q: "mail" }, "11:00")];
    expect(labels(all)).toEqual(["q=web"]);
  });
});

describe("a series' line", () => {
  const times = (seconds: readonly number[]) =>
    seconds.map((second) => new Date(second * 1000).toISOString());

  test("is unbroken at any interval of its collector", () => {
    const time = times([0, 300, 600, 900]);
    const value = [1, 2, 3, 4];
    const columns = seriesColumns({ granularity: "5s", time, value, min: value, max: value });
    expect(columns[1]).toEqual(value);
  });

  test("ends where several points in a row are missing", () => {
    const time = times([0, 60, 120, 1_000]);
    const value = [1, 2, 3, 4];
    const columns = seriesColumns({ granularity: "5s", time, value, min: value, max: value });
    expect(columns.slice(0, 2)).toEqual([
      [0, 60, 120, 560, 1_000],
      [1, 2, 3, null, 4],
    ]);
  });

  test("shows the spread of the points in a bucket", () => {
    const one = {
      granularity: "1m",
      time: times([0, 60]),
      value: [1, 5],
      min: [1, 2],
      max: [1, 8],
    };
    const other = { granularity: "1m", time: times([60]), value: [3], min: [3], max: [3] };
    expect(seriesData([one as SeriesHistory, other as SeriesHistory, undefined])).toEqual({
      columns: [
        [0, 60],
        [1, 5],
        [undefined, 3],
        [undefined, undefined],
      ],
      spreads: [{ low: [null, 2], high: [null, 8], p95: null }, null, null],
    });
  });
});
