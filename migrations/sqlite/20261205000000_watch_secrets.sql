-- Secrets of the config are watched too: since when each is what it is. Their names are keyed hashes.

CREATE TABLE watched_now (
    kind      TEXT    NOT NULL CHECK (kind IN ('role', 'permission', 'secret')),
    name      TEXT    NOT NULL CHECK (name <> ''),
    since     INTEGER NOT NULL,
    -- 1 where it was there when watching began: nobody knows since when.
    before    INTEGER NOT NULL CHECK (before IN (0, 1)),
    last_at   INTEGER,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

INSERT INTO watched_now (kind, name, since, before, last_at)
SELECT kind, name, since, before, last_at FROM watched;

DROP TABLE watched;
ALTER TABLE watched_now RENAME TO watched;

CREATE TRIGGER watched_uses_never_go_back BEFORE UPDATE ON watched
BEGIN
    SELECT RAISE(ABORT, 'wall:fixed')
     WHERE NEW.kind <> OLD.kind OR NEW.name <> OLD.name OR NEW.since <> OLD.since OR NEW.before <> OLD.before
        OR NEW.last_at IS NULL AND OLD.last_at IS NOT NULL OR NEW.last_at < OLD.last_at;
END;
