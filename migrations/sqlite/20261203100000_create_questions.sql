-- What approvers asked about a request. A question decides nothing: no state, deadline or approval moves by it.

CREATE TABLE questions (
    request   TEXT    NOT NULL REFERENCES requests (id),
    number    INTEGER NOT NULL CHECK (number > 0),
    principal TEXT    NOT NULL COLLATE NOCASE CHECK (principal <> ''),
    text      TEXT    NOT NULL CHECK (text <> '' AND length(text) <= 500),
    at        INTEGER NOT NULL,
    PRIMARY KEY (request, number)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER questions_are_about_what_waits BEFORE INSERT ON questions
BEGIN
    SELECT RAISE(ABORT, 'wall:not_found') WHERE NOT EXISTS (SELECT 1 FROM requests WHERE id = NEW.request);
    SELECT RAISE(ABORT, 'wall:over')
      FROM requests AS r
     WHERE r.id = NEW.request AND (r.state <> 'pending' OR NEW.at >= r.expires_at);
    SELECT RAISE(ABORT, 'wall:kept')
     WHERE EXISTS (SELECT 1 FROM questions WHERE request = NEW.request AND number = NEW.number);
END;

CREATE TRIGGER questions_are_never_changed BEFORE UPDATE ON questions
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;

CREATE TRIGGER questions_are_never_taken_away BEFORE DELETE ON questions
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;
