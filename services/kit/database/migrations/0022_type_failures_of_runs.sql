-- Type of the problem because of which a server failed. It is for programs; `reason` is for people.
ALTER TABLE run_servers ADD COLUMN problem text;
