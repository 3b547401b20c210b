-- A statement that ran at once, by break-glass, and waits to be reviewed by somebody else. It is a request
-- like any other, but no gateway's end ends it.
ALTER TABLE requests ADD COLUMN review INTEGER NOT NULL DEFAULT 0 CHECK (review IN (0, 1) AND (review = 0 OR kind = 'statement'));

CREATE TRIGGER requests_stay_reviews BEFORE UPDATE ON requests
BEGIN
    SELECT RAISE(ABORT, 'wall:fixed') WHERE NEW.review <> OLD.review;
    -- Whoever ran it does not take its review back, nor does time.
    SELECT RAISE(ABORT, 'wall:illegal_move')
     WHERE OLD.review = 1 AND NEW.state <> OLD.state AND NEW.state IN ('withdrawn', 'expired', 'void');
END;
