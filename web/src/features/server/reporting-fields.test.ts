import { expect, test } from "vitest";
import type { AgentConfig } from "@/api/vps";
import { toConfig, toFields } from "@/features/server/reporting-fields";

const UNSET: AgentConfig = {
  revision: 3,
  report_interval_seconds: null,
  log_level: null,
  docker_enabled: null,
  disabled_collectors: null,
};

test("an unset configuration stays unset", () => {
  const { revision: _, ...unset } = UNSET;
  expect(toConfig(toFields(UNSET), UNSET)).toEqual(unset);
});

test("every field can be written to the form and read back", () => {
  const config: AgentConfig = {
    revision: 3,
    report_interval_seconds: 10,
    log_level: "debug",
    docker_enabled: false,
    disabled_collectors: ["cpu", "load"],
  };
  const { revision: _, ...values } = config;
  expect(toConfig(toFields(config), config)).toEqual(values);
});

test("a collector that is unticked is disabled", () => {
  const fields = toFields(UNSET);
  const collectors = fields.collectors.filter((name) => name !== "disk_io");
  expect(toConfig({ ...fields, collectors }, UNSET).disabled_collectors).toEqual(["disk_io"]);
});

test("collectors that the console does not know keep their state", () => {
  const before: AgentConfig = { ...UNSET, disabled_collectors: ["generic", "cpu"] };
  const fields = { ...toFields(before), collectors: [...toFields(before).collectors, "cpu"] };
  expect(toConfig(fields, before).disabled_collectors).toEqual(["generic"]);
});

test("enabling everything keeps an explicit list instead of the file on the server", () => {
  const before: AgentConfig = { ...UNSET, disabled_collectors: ["cpu"] };
  const fields = { ...toFields(before), collectors: [...toFields(before).collectors, "cpu"] };
  expect(toConfig(fields, before).disabled_collectors).toEqual([]);
});
