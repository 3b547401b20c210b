-- Reviews of a connection's grants: who looked at each of them, when, and what they said.

CREATE TABLE access_reviews (
    id         TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 4 AND 32),
    connection TEXT    NOT NULL CHECK (connection <> ''),
    by         TEXT    NOT NULL COLLATE NOCASE CHECK (by <> ''),
    at         INTEGER NOT NULL,
    -- The log's newest checkpoint when it began: a signed note.
    checkpoint TEXT,
    closed_at  INTEGER CHECK (closed_at >= at)
) STRICT, WITHOUT ROWID;

-- One at a time: whoever comes later goes on with it.
CREATE UNIQUE INDEX access_reviews_open ON access_reviews (connection) WHERE closed_at IS NULL;

-- The grants that counted when it began.
CREATE TABLE access_review_items (
    review TEXT NOT NULL REFERENCES access_reviews (id),
    id     TEXT NOT NULL,
    PRIMARY KEY (review, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE access_review_answers (
    review TEXT    NOT NULL,
    id     TEXT    NOT NULL,
    choice TEXT    NOT NULL CHECK (choice IN ('keep', 'revoke')),
    by     TEXT    NOT NULL COLLATE NOCASE CHECK (by <> ''),
    at     INTEGER NOT NULL,
    reason TEXT    NOT NULL CHECK (reason <> ''),
    PRIMARY KEY (review, id),
    FOREIGN KEY (review, id) REFERENCES access_review_items (review, id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER reviews_are_of_grants BEFORE INSERT ON access_review_items
BEGIN
    SELECT RAISE(ABORT, 'wall:no_grant')
     WHERE NOT EXISTS (SELECT 1 FROM grants AS g JOIN access_reviews AS r ON r.connection = g.connection
                        WHERE g.id = NEW.id AND r.id = NEW.review AND r.closed_at IS NULL);
END;

CREATE TRIGGER nobody_reviews_their_own BEFORE INSERT ON access_review_answers
BEGIN
    SELECT RAISE(ABORT, 'wall:no_grant')
     WHERE NOT EXISTS (SELECT 1 FROM access_review_items WHERE review = NEW.review AND id = NEW.id);
    SELECT RAISE(ABORT, 'wall:kept')
     WHERE EXISTS (SELECT 1 FROM access_reviews WHERE id = NEW.review AND closed_at IS NOT NULL);
    SELECT RAISE(ABORT, 'wall:already_decided')
     WHERE EXISTS (SELECT 1 FROM access_review_answers WHERE review = NEW.review AND id = NEW.id);
    SELECT RAISE(ABORT, 'wall:same_human')
      FROM grants AS g
     WHERE g.id = NEW.id AND (g.principal = NEW.by OR g.owner = NEW.by);
    SELECT RAISE(ABORT, 'wall:same_human')
      FROM grants AS g
      JOIN people AS holder ON holder.principal = g.principal
      JOIN people AS reviewer ON reviewer.principal = NEW.by
     WHERE g.id = NEW.id AND holder.issuer = reviewer.issuer AND holder.subject = reviewer.subject;
    SELECT RAISE(ABORT, 'wall:agent') WHERE EXISTS (SELECT 1 FROM people WHERE principal = NEW.by AND owner IS NOT NULL);
    -- What is said to be taken back is over, and what is kept is not.
    SELECT RAISE(ABORT, 'wall:grant_over')
     WHERE NEW.choice = 'keep' AND EXISTS (SELECT 1 FROM grant_ends WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'wall:illegal_move')
     WHERE NEW.choice = 'revoke' AND NOT EXISTS (SELECT 1 FROM grant_ends WHERE id = NEW.id);
END;

CREATE TRIGGER reviews_close_once_and_whole BEFORE UPDATE ON access_reviews
BEGIN
    SELECT RAISE(ABORT, 'wall:fixed')
     WHERE OLD.closed_at IS NOT NULL OR NEW.closed_at IS NULL OR NEW.id <> OLD.id OR NEW.connection <> OLD.connection
        OR NEW.by <> OLD.by OR NEW.at <> OLD.at OR NEW.checkpoint IS NOT OLD.checkpoint;
    SELECT RAISE(ABORT, 'wall:illegal_move')
      FROM access_review_items AS i
     WHERE i.review = NEW.id
       AND NOT EXISTS (SELECT 1 FROM access_review_answers WHERE review = i.review AND id = i.id)
       AND NOT EXISTS (SELECT 1 FROM grant_ends WHERE id = i.id)
       AND (SELECT max(until_at) FROM grants WHERE id = i.id) > NEW.closed_at;
END;

CREATE TRIGGER reviews_are_never_taken_away BEFORE DELETE ON access_reviews
BEGIN SELECT RAISE(ABORT, 'wall:kept'); END;
CREATE TRIGGER review_items_are_never_changed BEFORE UPDATE ON access_review_items
BEGIN SELECT RAISE(ABORT, 'wall:kept'); END;
CREATE TRIGGER review_items_are_never_taken_away BEFORE DELETE ON access_review_items
BEGIN SELECT RAISE(ABORT, 'wall:kept'); END;
CREATE TRIGGER review_answers_are_never_changed BEFORE UPDATE ON access_review_answers
BEGIN SELECT RAISE(ABORT, 'wall:kept'); END;
CREATE TRIGGER review_answers_are_never_taken_away BEFORE DELETE ON access_review_answers
BEGIN SELECT RAISE(ABORT, 'wall:kept'); END;
