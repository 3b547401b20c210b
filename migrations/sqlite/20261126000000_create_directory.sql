-- The directory: users and groups as a provider of identities keeps them here by SCIM.
--
-- What it has once said of a name or a subject is never forgotten: whoever was deleted stays out, also
-- with a token that is still good, until somebody creates them anew.

-- `principal` is the user name in lower case (ASCII), as tokens name people; `external_id` is the `sub`.
CREATE TABLE directory_users (
    id           TEXT    NOT NULL CHECK (id <> ''),
    user_name    TEXT    NOT NULL CHECK (user_name <> ''),
    principal    TEXT    NOT NULL CHECK (principal = lower(user_name)),
    external_id  TEXT    CHECK (external_id <> ''),
    active       INTEGER NOT NULL CHECK (active IN (0, 1)),
    display_name TEXT,
    profile      TEXT    NOT NULL CHECK (json_type(profile) = 'object'),
    version      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    modified_at  INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (principal),
    UNIQUE (external_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE directory_groups (
    id           TEXT    NOT NULL CHECK (id <> ''),
    display_name TEXT    NOT NULL COLLATE NOCASE CHECK (display_name <> ''),
    external_id  TEXT    CHECK (external_id <> ''),
    version      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    modified_at  INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (display_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE directory_members (
    in_group TEXT NOT NULL REFERENCES directory_groups (id) ON DELETE CASCADE,
    member   TEXT NOT NULL REFERENCES directory_users (id) ON DELETE CASCADE,
    PRIMARY KEY (in_group, member)
) STRICT, WITHOUT ROWID;

CREATE INDEX directory_members_by_user ON directory_members (member);

-- What the directory says of a name or a subject, and of whom it said so last. The triggers below keep it.
-- `ended`: whoever had it was deleted or renamed. `free`: the directory says nothing of it any more.
CREATE TABLE directory_says (
    kind   TEXT NOT NULL CHECK (kind IN ('principal', 'subject')),
    value  TEXT NOT NULL,
    holder TEXT NOT NULL,
    state  TEXT NOT NULL CHECK (state IN ('active', 'inactive', 'ended', 'free')),
    PRIMARY KEY (kind, value)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER directory_says_is_never_forgotten BEFORE DELETE ON directory_says
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;

CREATE TRIGGER directory_users_are_created_once BEFORE INSERT ON directory_users
BEGIN
    SELECT RAISE(ABORT, 'wall:taken')
     WHERE EXISTS (SELECT 1 FROM directory_users
                    WHERE id = NEW.id OR principal = NEW.principal OR external_id = NEW.external_id);
END;

CREATE TRIGGER directory_users_are_heard_of AFTER INSERT ON directory_users
BEGIN
    -- Created anew without a subject: the one that went with this name may come back with it.
    UPDATE directory_says SET state = 'free'
     WHERE kind = 'subject' AND state = 'ended' AND NEW.external_id IS NULL
       AND holder = (SELECT holder FROM directory_says WHERE kind = 'principal' AND value = NEW.principal);
    INSERT INTO directory_says (kind, value, holder, state)
    VALUES ('principal', NEW.principal, NEW.id, iif(NEW.active, 'active', 'inactive'))
        ON CONFLICT (kind, value) DO UPDATE SET holder = excluded.holder, state = excluded.state;
    INSERT INTO directory_says (kind, value, holder, state)
    SELECT 'subject', NEW.external_id, NEW.id, iif(NEW.active, 'active', 'inactive')
     WHERE NEW.external_id IS NOT NULL
        ON CONFLICT (kind, value) DO UPDATE SET holder = excluded.holder, state = excluded.state;
END;

CREATE TRIGGER directory_users_change AFTER UPDATE ON directory_users
BEGIN
    SELECT RAISE(ABORT, 'wall:fixed') WHERE NEW.id <> OLD.id;
    -- A name that somebody gave up lets nobody in; it may be another's tomorrow.
    UPDATE directory_says SET state = 'ended'
     WHERE kind = 'principal' AND value = OLD.principal AND OLD.principal <> NEW.principal;
    UPDATE directory_says SET state = iif(OLD.active, 'free', 'ended')
     WHERE kind = 'subject' AND value = OLD.external_id AND NEW.external_id IS NOT OLD.external_id;
    UPDATE directory_says SET state = 'free'
     WHERE kind = 'subject' AND state = 'ended' AND holder = NEW.id AND NEW.external_id IS NULL AND NEW.active;
    INSERT INTO directory_says (kind, value, holder, state)
    VALUES ('principal', NEW.principal, NEW.id, iif(NEW.active, 'active', 'inactive'))
        ON CONFLICT (kind, value) DO UPDATE SET holder = excluded.holder, state = excluded.state;
    INSERT INTO directory_says (kind, value, holder, state)
    SELECT 'subject', NEW.external_id, NEW.id, iif(NEW.active, 'active', 'inactive')
     WHERE NEW.external_id IS NOT NULL
        ON CONFLICT (kind, value) DO UPDATE SET holder = excluded.holder, state = excluded.state;
END;

CREATE TRIGGER directory_users_end AFTER DELETE ON directory_users
BEGIN
    UPDATE directory_says SET state = 'ended'
     WHERE (kind = 'principal' AND value = OLD.principal)
        OR (kind = 'subject' AND value = OLD.external_id);
END;

-- Whom the directory has ended: users, and agents whose owner it has.
CREATE VIEW people_ended AS
SELECT p.principal, s.state
  FROM people AS p
  LEFT JOIN people AS o ON o.principal = p.owner
  JOIN directory_says AS s
    ON s.state IN ('inactive', 'ended')
   AND ((s.kind = 'principal' AND s.value = lower(coalesce(p.owner, p.principal)))
     OR (s.kind = 'subject' AND s.value = iif(p.owner IS NULL, p.subject, o.subject)));

-- The groups that the directory gives to users, by principal. A subject alone gives nothing: it counts
-- only together with its issuer, which the directory does not name.
CREATE VIEW directory_memberships AS
SELECT u.principal, g.display_name AS name
  FROM directory_users AS u
  JOIN directory_members AS m ON m.member = u.id
  JOIN directory_groups AS g ON g.id = m.in_group
 WHERE u.active;
