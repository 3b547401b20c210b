-- Texts that are asked for statement by statement: what is kept of each statement, and which of them have been sent.
--
-- Such a request stays `approved` until the last of them is sent: so whoever could end it before can end the rest of it,
-- and its deadline is that of each. The statements come in order, each once, in one session, and each only once the one
-- before it has run without error.

-- What approvers were shown of each statement, in order: a JSON array. It stays as it is.
ALTER TABLE requests ADD COLUMN steps TEXT CHECK (steps IS NULL OR json_type(steps) = 'array');

-- Whether somebody has any, is asked before many statements.
CREATE INDEX requests_with_steps ON requests (principal) WHERE steps IS NOT NULL AND state = 'approved';

CREATE TRIGGER requests_with_steps_are_asked_ahead BEFORE INSERT ON requests
BEGIN
    SELECT RAISE(ABORT, 'wall:illegal_move')
     WHERE NEW.steps IS NOT NULL
       AND (NEW.kind <> 'statement' OR NEW.review = 1 OR NEW.session IS NOT NULL OR NEW.allowable IS NOT NULL);
END;

-- A statement is taken before it is forwarded. `ran` is null until the server has answered; 0 where it failed, or never ran.
CREATE TABLE steps_taken (
    request TEXT    NOT NULL REFERENCES requests (id),
    number  INTEGER NOT NULL CHECK (number > 0),
    at      INTEGER NOT NULL,
    session TEXT    NOT NULL,
    outcome TEXT,
    ran     INTEGER CHECK (ran IN (0, 1)),
    PRIMARY KEY (request, number),
    CHECK ((outcome IS NULL) = (ran IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TRIGGER steps_are_taken_in_order BEFORE INSERT ON steps_taken
BEGIN
    SELECT RAISE(ABORT, 'wall:not_next')
     WHERE NEW.ran IS NOT NULL
        OR EXISTS (SELECT 1 FROM steps_taken WHERE request = NEW.request AND number = NEW.number)
        -- Approved, and in time.
        OR NOT EXISTS (SELECT 1 FROM requests AS r
                        WHERE r.id = NEW.request AND r.state = 'approved' AND NEW.at < r.expires_at
                          AND json_extract(r.steps, '$[' || max(NEW.number - 1, 0) || '].needed') = 1)
        -- All that come before it have run.
        OR EXISTS (SELECT 1 FROM requests AS r, json_each(r.steps) AS s
                    WHERE r.id = NEW.request AND s.key < NEW.number - 1 AND json_extract(s.value, '$.needed') = 1
                      AND NOT EXISTS (SELECT 1 FROM steps_taken AS t
                                       WHERE t.request = NEW.request AND t.number = s.key + 1 AND t.ran = 1))
        -- In one session.
        OR EXISTS (SELECT 1 FROM steps_taken WHERE request = NEW.request AND session <> NEW.session);
END;

CREATE TRIGGER steps_end_once BEFORE UPDATE ON steps_taken
BEGIN
    SELECT RAISE(ABORT, 'wall:kept')
     WHERE OLD.ran IS NOT NULL
        OR NEW.ran IS NULL
        OR NEW.request <> OLD.request
        OR NEW.number <> OLD.number
        OR NEW.at <> OLD.at
        OR NEW.session <> OLD.session;
END;

CREATE TRIGGER steps_are_kept BEFORE DELETE ON steps_taken
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;

CREATE TRIGGER requests_keep_their_steps BEFORE UPDATE ON requests
BEGIN
    SELECT RAISE(ABORT, 'wall:fixed') WHERE NEW.steps IS NOT OLD.steps;
    -- Released as a whole it would run as a whole.
    SELECT RAISE(ABORT, 'wall:illegal_move')
     WHERE NEW.steps IS NOT NULL AND NEW.state = 'released' AND OLD.state <> 'released'
       AND EXISTS (SELECT 1 FROM json_each(NEW.steps) AS s
                    WHERE json_extract(s.value, '$.needed') = 1
                      AND NOT EXISTS (SELECT 1 FROM steps_taken AS t WHERE t.request = NEW.id AND t.number = s.key + 1));
END;
