-- When grants were used, who wants one kept that is not, and what the bot has posted once.

-- A grant's first and last use, as far as they were recorded.
CREATE TABLE grant_uses (
    id       TEXT    NOT NULL PRIMARY KEY,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL CHECK (last_at >= first_at)
) STRICT, WITHOUT ROWID;

-- Since when uses are recorded: of what was before, nothing is known.
CREATE TABLE uses_recorded (
    since INTEGER NOT NULL
) STRICT;

INSERT INTO uses_recorded (since) VALUES (unixepoch() * 1000);

CREATE TRIGGER uses_are_of_grants BEFORE INSERT ON grant_uses
BEGIN
    SELECT RAISE(ABORT, 'wall:no_grant') WHERE NOT EXISTS (SELECT 1 FROM grants WHERE id = NEW.id);
END;

CREATE TRIGGER uses_never_go_back BEFORE UPDATE ON grant_uses
BEGIN
    SELECT RAISE(ABORT, 'wall:fixed')
     WHERE NEW.id <> OLD.id OR NEW.first_at <> OLD.first_at OR NEW.last_at < OLD.last_at;
END;

-- Somebody says that an unused grant shall stay, and why; never its holder, nor who answers for them.
CREATE TABLE grant_keeps (
    id       TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    until_at INTEGER NOT NULL CHECK (until_at > at),
    by       TEXT    NOT NULL COLLATE NOCASE CHECK (by <> ''),
    reason   TEXT    NOT NULL CHECK (reason <> ''),
    PRIMARY KEY (id, at, by)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER nobody_keeps_their_own BEFORE INSERT ON grant_keeps
BEGIN
    SELECT RAISE(ABORT, 'wall:no_grant') WHERE NOT EXISTS (SELECT 1 FROM grants WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'wall:grant_over') WHERE EXISTS (SELECT 1 FROM grant_ends WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'wall:same_human')
      FROM grants AS g
     WHERE g.id = NEW.id AND (g.principal = NEW.by OR g.owner = NEW.by);
    SELECT RAISE(ABORT, 'wall:same_human')
      FROM grants AS g
      JOIN people AS holder ON holder.principal = g.principal
      JOIN people AS keeper ON keeper.principal = NEW.by
     WHERE g.id = NEW.id AND holder.issuer = keeper.issuer AND holder.subject = keeper.subject;
    SELECT RAISE(ABORT, 'wall:agent') WHERE EXISTS (SELECT 1 FROM people WHERE principal = NEW.by AND owner IS NOT NULL);
END;

CREATE TRIGGER keeps_are_never_changed BEFORE UPDATE ON grant_keeps
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;

CREATE TRIGGER keeps_are_never_taken_away BEFORE DELETE ON grant_keeps
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;

-- What is to be posted once, by whichever bot. A claim that came to nothing may be taken over.
CREATE TABLE notices (
    name       TEXT    NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 200),
    claimed_by TEXT    NOT NULL,
    claimed_at INTEGER NOT NULL,
    done_at    INTEGER
) STRICT, WITHOUT ROWID;

CREATE TRIGGER what_was_posted_stays_so BEFORE UPDATE ON notices WHEN OLD.done_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;
