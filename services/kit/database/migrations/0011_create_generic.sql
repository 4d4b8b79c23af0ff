-- One row per custom series. Name and labels together identify a series.
CREATE TABLE generic_series (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    vps_id     uuid NOT NULL REFERENCES vps ON DELETE CASCADE,
    name       text NOT NULL,
    labels     jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX generic_series_vps_id_name_labels_idx ON generic_series (vps_id, name, labels);

CREATE TABLE generic_metrics (
    time      timestamptz NOT NULL,
    series_id bigint NOT NULL,
    value     double precision NOT NULL,
    PRIMARY KEY (series_id, time)
);
SELECT create_hypertable(
    'generic_metrics', by_range('time', INTERVAL '1 day'), create_default_indexes => false
);
