CREATE EXTENSION IF NOT EXISTS timescaledb;

CREATE TABLE performance_metrics (
    time            timestamptz NOT NULL,
    vps_id          uuid NOT NULL,
    net_rx_total    bigint,
    net_tx_total    bigint,
    mem_used        bigint,
    mem_total       bigint,
    mem_cached      bigint,
    swap_used       bigint,
    swap_total      bigint,
    disk_used       bigint,
    disk_total      bigint,
    uptime          bigint,
    cpu_usage       real,
    cpu_iowait      real,
    cpu_steal       real,
    load_1          real,
    load_5          real,
    load_15         real,
    mem_usage       real,
    disk_usage      real,
    disk_io_read    real,
    disk_io_write   real,
    disk_iops_read  real,
    disk_iops_write real,
    net_rx          real,
    net_tx          real,
    temperature     real,
    tcp_connections integer,
    udp_connections integer,
    processes       integer,
    clock_corrected boolean NOT NULL DEFAULT false,
    -- A serialised flotilla.v1.PerformanceSnapshot with only cores, mounts, devices and interfaces.
    detail          bytea
);
-- The primary key comes before the hypertable, so create_hypertable creates no index on time.
ALTER TABLE performance_metrics ADD PRIMARY KEY (vps_id, time);
SELECT create_hypertable(
    'performance_metrics', by_range('time', INTERVAL '1 day'), create_default_indexes => false
);
