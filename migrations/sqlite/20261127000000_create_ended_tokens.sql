-- Tokens that count no more, though they are signed and their time is not over: their provider signed
-- somebody out, an administrator denied them, or their provider called them inactive.

-- `subject`: all of a subject's that were issued up to the second `until`. `unnamed`: those of them that say
-- no sign-in (`sid`). `sign_in`: all that say this one. `id`, `digest`: the one with this `jti`, or this SHA-256.
CREATE TABLE tokens_ended (
    issuer   TEXT    NOT NULL CHECK (issuer <> ''),
    kind     TEXT    NOT NULL CHECK (kind IN ('subject', 'unnamed', 'sign_in', 'id', 'digest')),
    value    TEXT    NOT NULL CHECK (value <> ''),
    until    INTEGER CHECK ((until IS NOT NULL) = (kind IN ('subject', 'unnamed'))),
    reason   TEXT    NOT NULL,
    ended_by TEXT,
    ended_at INTEGER NOT NULL,
    PRIMARY KEY (issuer, kind, value)
) STRICT, WITHOUT ROWID;

-- The logout tokens that were taken, by `jti`: each once.
CREATE TABLE logouts_taken (
    issuer   TEXT    NOT NULL,
    id       TEXT    NOT NULL CHECK (id <> ''),
    taken_at INTEGER NOT NULL,
    PRIMARY KEY (issuer, id)
) STRICT, WITHOUT ROWID;

-- No token may be older than 30 days, whatever the config says.
CREATE TRIGGER tokens_ended_are_kept BEFORE DELETE ON tokens_ended
 WHEN OLD.ended_at > (unixepoch() - 31 * 86400) * 1000
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;

CREATE TRIGGER tokens_ended_stay_ended BEFORE UPDATE ON tokens_ended
 WHEN NEW.issuer <> OLD.issuer OR NEW.kind <> OLD.kind OR NEW.value <> OLD.value OR NEW.until < OLD.until
BEGIN
    SELECT RAISE(ABORT, 'wall:fixed');
END;
