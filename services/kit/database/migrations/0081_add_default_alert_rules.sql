-- Rules that every new organisation gets, for all its servers and without a channel.
CREATE TABLE default_alert_rules (
    name                text PRIMARY KEY,
    metric_type         text NOT NULL,
    comparison_operator text NOT NULL,
    threshold           double precision NOT NULL,
    duration_seconds    integer NOT NULL,
    severity            text NOT NULL
);
INSERT INTO default_alert_rules VALUES
    -- Longer than a restart of the agent or of an edge.
    ('Server offline', 'offline', '>=', 1, 120, 'critical'),
    -- Builds and log rotation fill a disk for some minutes.
    ('Disk almost full', 'disk_usage', '>', 90, 900, 'warning'),
    -- Backups and updates take less than half an hour.
    ('CPU busy', 'cpu_usage', '>', 95, 1800, 'warning'),
    -- Caches are not counted as used, so this is real pressure.
    ('Memory almost full', 'mem_usage', '>', 95, 900, 'warning');
