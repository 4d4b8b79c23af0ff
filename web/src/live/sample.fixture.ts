import type { Sample } from "@/api/vps";

export function sampleOf(vps_id: string, second: number, measured: Partial<Sample> = {}): Sample {
  const time = new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString();
  return {
    cpu_usage: null,
    cpu_iowait: null,
    cpu_steal: null,
    load_1: null,
    load_5: null,
    load_15: null,
    mem_usage: null,
    mem_used: null,
    mem_total: null,
    mem_cached: null,
    swap_used: null,
    swap_total: null,
    disk_usage: null,
    disk_used: null,
    disk_total: null,
    disk_io_read: null,
    disk_io_write: null,
    disk_iops_read: null,
    disk_iops_write: null,
    net_rx: null,
    net_tx: null,
    net_rx_total: null,
    net_tx_total: null,
    tcp_connections: null,
    udp_connections: null,
    processes: null,
    uptime: null,
    temperature: null,
    clock_corrected: false,
    ...measured,
    time,
    vps_id,
  };
}
