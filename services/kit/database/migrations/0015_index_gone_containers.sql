CREATE INDEX docker_containers_gone_at_idx ON docker_containers (gone_at)
    WHERE gone_at IS NOT NULL;
