-- Words that select several servers at once.
ALTER TABLE vps ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
