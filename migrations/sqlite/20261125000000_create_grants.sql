-- Grants: a role given to a principal on a connection for a bounded time.
--
-- Nothing here is ever changed or taken away. A grant is one row for its first term and one for each
-- extension; that it ended before its time is a row of its own. So a grant can be made shorter by
-- whoever writes to this file, and never longer: a term counts only with the gateway's signature.

CREATE TABLE grants (
    id          TEXT    NOT NULL CHECK (length(id) BETWEEN 4 AND 32),
    term        INTEGER NOT NULL CHECK (term >= 0),
    principal   TEXT    NOT NULL COLLATE NOCASE,
    issuer      TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    owner       TEXT    COLLATE NOCASE CHECK (owner <> ''),
    connection  TEXT    NOT NULL CHECK (connection <> ''),
    role        TEXT    NOT NULL CHECK (role <> ''),
    reason      TEXT    NOT NULL,
    -- The approved request that it came from; null where policy gave it without asking anybody.
    request     TEXT    REFERENCES requests (id),
    approved_by TEXT    NOT NULL CHECK (json_type(approved_by) = 'array'),
    from_at     INTEGER NOT NULL,
    until_at    INTEGER NOT NULL,
    signature   TEXT    NOT NULL CHECK (signature <> ''),
    PRIMARY KEY (id, term),
    UNIQUE (request),
    CHECK (until_at > from_at),
    CHECK ((request IS NULL) = (json_array_length(approved_by) = 0))
) STRICT, WITHOUT ROWID;

CREATE INDEX grants_by_time ON grants (until_at);
CREATE INDEX grants_by_principal ON grants (principal);

CREATE TABLE grant_ends (
    id     TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    how    TEXT    NOT NULL CHECK (how IN ('expired', 'done', 'revoked')),
    by     TEXT    COLLATE NOCASE,
    reason TEXT,
    PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER grants_come_from_what_was_approved BEFORE INSERT ON grants
BEGIN
    SELECT RAISE(ABORT, 'wall:exists')
     WHERE EXISTS (SELECT 1 FROM grants WHERE (id = NEW.id AND term = NEW.term) OR request = NEW.request);
    SELECT RAISE(ABORT, 'wall:illegal_move')
     WHERE NEW.term <> (SELECT count(*) FROM grants WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'wall:unknown_person')
     WHERE NOT EXISTS (SELECT 1 FROM people
                        WHERE principal = NEW.principal AND issuer = NEW.issuer AND subject = NEW.subject
                          AND (owner IS NULL) = (NEW.owner IS NULL));
    -- A term more is for the same person, place and role, and for a grant that has not ended.
    SELECT RAISE(ABORT, 'wall:fixed')
      FROM grants AS g
     WHERE g.id = NEW.id
       AND (g.principal <> NEW.principal OR g.issuer <> NEW.issuer OR g.subject <> NEW.subject
         OR g.connection <> NEW.connection OR g.role <> NEW.role OR g.until_at >= NEW.until_at);
    SELECT RAISE(ABORT, 'wall:grant_over') WHERE EXISTS (SELECT 1 FROM grant_ends WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'wall:grant_over')
     WHERE NEW.term > 0 AND NEW.from_at >= (SELECT max(until_at) FROM grants WHERE id = NEW.id);
    -- What people were asked for is what is given, and to whom.
    SELECT RAISE(ABORT, 'wall:unapproved')
     WHERE NEW.request IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM requests AS r
                        WHERE r.id = NEW.request AND r.kind = 'access' AND r.state = 'released'
                          AND r.principal = NEW.principal AND r.issuer = NEW.issuer AND r.subject = NEW.subject
                          AND json_extract(r.asked, '$.connection') = NEW.connection
                          AND json_extract(r.asked, '$.effects[0].object.name') = NEW.role
                          AND json_extract(r.asked, '$.wish.seconds') * 1000 >= NEW.until_at - NEW.from_at
                          AND coalesce(json_extract(r.asked, '$.wish.extends'), NEW.id) = NEW.id
                          AND (NEW.term > 0) = (json_extract(r.asked, '$.wish.extends') IS NOT NULL));
END;

CREATE TRIGGER grants_are_never_changed BEFORE UPDATE ON grants
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;

CREATE TRIGGER grants_are_never_taken_away BEFORE DELETE ON grants
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;

CREATE TRIGGER grants_end_once BEFORE INSERT ON grant_ends
BEGIN
    SELECT RAISE(ABORT, 'wall:no_grant') WHERE NOT EXISTS (SELECT 1 FROM grants WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'wall:grant_over') WHERE EXISTS (SELECT 1 FROM grant_ends WHERE id = NEW.id);
END;

CREATE TRIGGER ends_are_never_changed BEFORE UPDATE ON grant_ends
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;

CREATE TRIGGER ends_are_never_taken_back BEFORE DELETE ON grant_ends
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;

-- An event may be about a grant.
ALTER TABLE events ADD COLUMN about_grant TEXT;
