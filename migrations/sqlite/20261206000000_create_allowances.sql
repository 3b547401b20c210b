-- Statements that were approved for a time, with a number of runs and a most of rows, and denials one by one.
--
-- What counts of an allowance is what its approvers sealed (`approvals.allow`); these rows count its runs, and say
-- how it ended. Nothing here gives a run back once it has an outcome, or begins again what has ended.

-- What an approver may allow of a request beyond one run, and what that would bind: a JSON object. Like all that
-- approvers were shown, it stays as it is.
ALTER TABLE requests ADD COLUMN allowable TEXT CHECK (allowable IS NULL OR json_type(allowable) = 'object');

CREATE TRIGGER requests_keep_what_may_be_allowed BEFORE UPDATE ON requests
BEGIN
    SELECT RAISE(ABORT, 'wall:fixed') WHERE NEW.allowable IS NOT OLD.allowable;
END;

-- What an approval allows beyond one run; covered by its signature.
ALTER TABLE approvals ADD COLUMN allow TEXT CHECK (allow IS NULL OR json_type(allow) = 'object');

CREATE TRIGGER approvals_allow_what_may_be_allowed BEFORE INSERT ON approvals
BEGIN
    SELECT RAISE(ABORT, 'wall:not_allowable')
      FROM requests AS r
     WHERE r.id = NEW.request AND NEW.allow IS NOT NULL
       AND (r.allowable IS NULL OR r.kind <> 'statement' OR r.review = 1);
    -- Whoever has said no does not say yes.
    SELECT RAISE(ABORT, 'wall:already_decided')
     WHERE EXISTS (SELECT 1 FROM denials AS d
                    WHERE d.request = NEW.request
                      AND (d.principal = NEW.principal OR (d.issuer = NEW.issuer AND d.subject = NEW.subject)));
END;

-- `text` is a digest of the statement as it is sent: its text, and how many parameters of which types it has.
CREATE TABLE allowances (
    request    TEXT    NOT NULL REFERENCES requests (id),
    principal  TEXT    NOT NULL COLLATE NOCASE,
    connection TEXT    NOT NULL,
    text       TEXT    NOT NULL CHECK (length(text) = 64),
    runs       INTEGER NOT NULL CHECK (runs > 0),
    began_at   INTEGER NOT NULL,
    until      INTEGER NOT NULL,
    ended_at   INTEGER,
    how        TEXT    CHECK (how IN ('expired', 'used', 'revoked', 'void')),
    ended_by   TEXT,
    why        TEXT,
    PRIMARY KEY (request),
    CHECK ((ended_at IS NULL) = (how IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX allowances_open ON allowances (principal, connection) WHERE ended_at IS NULL;

CREATE TRIGGER allowances_begin_with_a_release BEFORE INSERT ON allowances
BEGIN
    SELECT RAISE(ABORT, 'wall:exists') WHERE EXISTS (SELECT 1 FROM allowances WHERE request = NEW.request);
    SELECT RAISE(ABORT, 'wall:illegal_move') WHERE NEW.ended_at IS NOT NULL;
    SELECT RAISE(ABORT, 'wall:unapproved')
     WHERE NOT EXISTS (SELECT 1 FROM requests AS r
                        WHERE r.id = NEW.request AND r.state = 'released' AND r.kind = 'statement' AND r.review = 0
                          AND r.principal = NEW.principal AND r.allowable IS NOT NULL)
        OR NOT EXISTS (SELECT 1 FROM approvals AS a WHERE a.request = NEW.request AND a.allow IS NOT NULL);
END;

CREATE TRIGGER allowances_only_end BEFORE UPDATE ON allowances
BEGIN
    SELECT RAISE(ABORT, 'wall:fixed')
     WHERE OLD.ended_at IS NOT NULL
        OR NEW.ended_at IS NULL
        OR NEW.request <> OLD.request
        OR NEW.principal <> OLD.principal COLLATE BINARY
        OR NEW.connection <> OLD.connection
        OR NEW.text <> OLD.text
        OR NEW.runs <> OLD.runs
        OR NEW.began_at <> OLD.began_at
        OR NEW.until <> OLD.until;
END;

CREATE TRIGGER allowances_are_kept BEFORE DELETE ON allowances
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;

-- A run is taken before it is forwarded. One that the server never ran (`discarded`) does not count.
CREATE TABLE allowed_runs (
    request   TEXT    NOT NULL REFERENCES allowances (request),
    number    INTEGER NOT NULL CHECK (number > 0),
    at        INTEGER NOT NULL,
    session   TEXT,
    outcome   TEXT,
    discarded INTEGER NOT NULL DEFAULT 0 CHECK (discarded IN (0, 1)),
    PRIMARY KEY (request, number),
    CHECK (discarded = 0 OR outcome IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER allowed_runs_are_taken_in_order BEFORE INSERT ON allowed_runs
BEGIN
    SELECT RAISE(ABORT, 'wall:not_allowed')
     WHERE NEW.outcome IS NOT NULL
        OR NEW.number <> 1 + (SELECT count(*) FROM allowed_runs WHERE request = NEW.request)
        OR NOT EXISTS (SELECT 1 FROM allowances AS a
                        WHERE a.request = NEW.request AND a.ended_at IS NULL AND NEW.at < a.until
                          AND a.runs > (SELECT count(*) FROM allowed_runs
                                         WHERE request = NEW.request AND discarded = 0));
END;

CREATE TRIGGER allowed_runs_end_once BEFORE UPDATE ON allowed_runs
BEGIN
    SELECT RAISE(ABORT, 'wall:kept')
     WHERE OLD.outcome IS NOT NULL
        OR NEW.outcome IS NULL
        OR NEW.request <> OLD.request
        OR NEW.number <> OLD.number
        OR NEW.at <> OLD.at
        OR NEW.session IS NOT OLD.session;
END;

CREATE TRIGGER allowed_runs_are_kept BEFORE DELETE ON allowed_runs
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;

-- Each no, where more than one is needed to end a request. Like approvals, of distinct humans who are not the requester.
CREATE TABLE denials (
    request   TEXT    NOT NULL REFERENCES requests (id),
    principal TEXT    NOT NULL COLLATE NOCASE CHECK (principal <> ''),
    issuer    TEXT    NOT NULL,
    subject   TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    reason    TEXT,
    PRIMARY KEY (request, principal),
    UNIQUE (request, issuer, subject)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER denials_are_another_humans BEFORE INSERT ON denials
BEGIN
    SELECT RAISE(ABORT, 'wall:not_found') WHERE NOT EXISTS (SELECT 1 FROM requests WHERE id = NEW.request);
    SELECT RAISE(ABORT, 'wall:agent')
     WHERE EXISTS (SELECT 1 FROM people
                    WHERE owner IS NOT NULL
                      AND (principal = NEW.principal OR (issuer = NEW.issuer AND subject = NEW.subject)));
    SELECT RAISE(ABORT, 'wall:same_human')
      FROM requests AS r
     WHERE r.id = NEW.request
       AND (r.principal = NEW.principal
         OR (r.issuer = NEW.issuer AND r.subject = NEW.subject)
         OR r.owner = NEW.principal
         OR EXISTS (SELECT 1 FROM people AS p
                     WHERE p.principal IN (r.principal, r.owner)
                       AND p.issuer = NEW.issuer AND p.subject = NEW.subject));
    SELECT RAISE(ABORT, 'wall:unknown_person')
     WHERE NOT EXISTS (SELECT 1 FROM people
                        WHERE principal = NEW.principal AND issuer = NEW.issuer AND subject = NEW.subject);
    SELECT RAISE(ABORT, 'wall:already_decided')
     WHERE EXISTS (SELECT 1 FROM denials AS d
                    WHERE d.request = NEW.request
                      AND (d.principal = NEW.principal OR (d.issuer = NEW.issuer AND d.subject = NEW.subject)));
    SELECT RAISE(ABORT, 'wall:over')
      FROM requests AS r WHERE r.id = NEW.request AND r.state NOT IN ('pending', 'approved');
END;

CREATE TRIGGER denials_are_never_changed BEFORE UPDATE ON denials
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;

CREATE TRIGGER denials_are_never_taken_away BEFORE DELETE ON denials
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;
