-- The newest checkpoint of each log that this state's gateway has written: whoever puts an older folder of
-- records back in place of the newest can't put it back here too.

CREATE TABLE checkpoints (
    origin  TEXT    NOT NULL PRIMARY KEY CHECK (origin <> ''),
    records TEXT    NOT NULL CHECK (records <> ''),
    size    INTEGER NOT NULL CHECK (size >= 0),
    note    TEXT    NOT NULL CHECK (note <> ''),
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER checkpoints_never_go_back BEFORE UPDATE ON checkpoints
BEGIN
    SELECT RAISE(ABORT, 'wall:fixed') WHERE NEW.origin <> OLD.origin OR NEW.size < OLD.size;
END;

CREATE TRIGGER checkpoints_are_never_taken_away BEFORE DELETE ON checkpoints
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;
