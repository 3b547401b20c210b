-- What a held statement would do to rows, as it was measured before anybody was asked: a JSON array of
-- objects, one for each statement that writes rows. Like all that approvers were shown, it stays as it is.
ALTER TABLE requests ADD COLUMN impact TEXT NOT NULL DEFAULT '[]' CHECK (json_type(impact) = 'array');

CREATE TRIGGER requests_keep_their_impact BEFORE UPDATE ON requests
BEGIN
    SELECT RAISE(ABORT, 'wall:fixed') WHERE NEW.impact <> OLD.impact;
END;
