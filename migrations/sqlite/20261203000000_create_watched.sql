-- Roles and permissions that are in force: since when they are watched, and when they were last used.

CREATE TABLE watched (
    kind      TEXT    NOT NULL CHECK (kind IN ('role', 'permission')),
    name      TEXT    NOT NULL CHECK (name <> ''),
    since     INTEGER NOT NULL,
    -- 1 where it was there when watching began: nobody knows since when.
    before    INTEGER NOT NULL CHECK (before IN (0, 1)),
    last_at   INTEGER,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER watched_uses_never_go_back BEFORE UPDATE ON watched
BEGIN
    SELECT RAISE(ABORT, 'wall:fixed')
     WHERE NEW.kind <> OLD.kind OR NEW.name <> OLD.name OR NEW.since <> OLD.since OR NEW.before <> OLD.before
        OR NEW.last_at IS NULL AND OLD.last_at IS NOT NULL OR NEW.last_at < OLD.last_at;
END;
