-- A minute keeps its average and its peak. Its lowest sample was 44 of 363 bytes per row, and the minimum
-- of a longer bucket is now the lowest average of its minutes. Existing rows free the space when they
-- are rewritten or dropped.
ALTER TABLE performance_1m
    DROP COLUMN cpu_usage_min,
    DROP COLUMN cpu_iowait_min,
    DROP COLUMN cpu_steal_min,
    DROP COLUMN load_1_min,
    DROP COLUMN mem_usage_min,
    DROP COLUMN disk_io_read_min,
    DROP COLUMN disk_io_write_min,
    DROP COLUMN disk_iops_read_min,
    DROP COLUMN disk_iops_write_min,
    DROP COLUMN net_rx_min,
    DROP COLUMN net_tx_min;
