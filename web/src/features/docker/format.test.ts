import { expect, test } from "vitest";
import { containerOf } from "@/features/docker/containers/container.fixture";
import { cpuText, memoryText, networkText, portTexts } from "@/features/docker/format";
import { testFormat } from "@/testing/format";

const format = testFormat();

test("ports are shown as in docker ps, each once", () => {
  const web = { host_port: 8080, container_port: 80, protocol: "tcp" };
  const ports = [
    { ...web, host_ip: "0.0.0.0" },
    { ...web, host_ip: "::" },
    { ...web, host_ip: "127.0.0.1", host_port: 9 },
    { ...web, host_ip: "::1", host_port: 9 },
    { host_ip: "", host_port: 0, container_port: 53, protocol: "udp" },
  ];
  expect(portTexts(ports)).toEqual([
    "8080 → 80/tcp",
    "127.0.0.1:9 → 80/tcp",
    "[::1]:9 → 80/tcp",
    "53/udp",
  ]);
});

test("missing figures are not shown as zero", () => {
  const container = containerOf("web");
  expect([
    cpuText(container, format),
    memoryText(container, format),
    networkText(container, format),
  ]).toEqual(["–", "–", "–"]);
});

test("figures are shown with their units", () => {
  const container = containerOf("web", {
    cpu_usage_percent: 12.34,
    memory_usage_bytes: 3 * 1024 ** 2,
    network_receive_bytes_per_second: 125_000,
    network_transmit_bytes_per_second: 0,
  });
  expect([
    cpuText(container, format),
    memoryText(container, format),
    networkText(container, format),
  ]).toEqual(["12 %", "3 MiB", "↓ 1.0 ↑ 0.0 Mb/s"]);
});
