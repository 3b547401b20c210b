-- The state: people, requests, approvals, links, events.
--
-- The second wall of separation of duties lives here: whatever writes to this file, an approval by
-- the requester, by an agent, for a request that is over, or for other bytes than were asked for is
-- refused. Times are milliseconds since 1970 in UTC, unless the column says otherwise.
--
-- Principals compare without case, as ASCII. Tables are WITHOUT ROWID, so that no row can be
-- replaced by way of a rowid; and every insert looks for its key first, because a row that is
-- replaced (INSERT OR REPLACE) is deleted without asking the triggers that refuse deletion.
--
-- What a trigger says begins with `wall:`; the store reads the word behind it.

-- Who was seen. A principal stays bound to its first (issuer, subject), and is never forgotten:
-- a row that could be deleted could be bound anew.
CREATE TABLE people (
    principal  TEXT    NOT NULL COLLATE NOCASE CHECK (principal <> ''),
    issuer     TEXT    NOT NULL CHECK (issuer <> ''),
    subject    TEXT    NOT NULL CHECK (subject <> ''),
    owner      TEXT    COLLATE NOCASE CHECK (owner <> ''),
    groups     TEXT    NOT NULL CHECK (json_type(groups) = 'array'),
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    PRIMARY KEY (principal)
) STRICT, WITHOUT ROWID;

CREATE INDEX people_by_subject ON people (issuer, subject);

CREATE TRIGGER people_are_bound_once BEFORE INSERT ON people
BEGIN
    SELECT RAISE(ABORT, 'wall:bound') WHERE EXISTS (SELECT 1 FROM people WHERE principal = NEW.principal);
END;

CREATE TRIGGER people_stay_bound BEFORE UPDATE ON people
BEGIN
    SELECT RAISE(ABORT, 'wall:bound')
     WHERE NEW.principal <> OLD.principal COLLATE BINARY
        OR NEW.issuer <> OLD.issuer
        OR NEW.subject <> OLD.subject
        OR (NEW.owner IS NULL) <> (OLD.owner IS NULL)
        OR NEW.first_seen <> OLD.first_seen;
END;

CREATE TRIGGER people_are_never_forgotten BEFORE DELETE ON people
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;

-- What approvers see. `asked` is the whole question, kept so that it can be asked again.
CREATE TABLE requests (
    id           TEXT    NOT NULL CHECK (length(id) BETWEEN 4 AND 32),
    kind         TEXT    NOT NULL CHECK (kind IN ('statement', 'access')),
    digest       TEXT    NOT NULL CHECK (length(digest) = 64 AND digest NOT GLOB '*[^0-9a-f]*'),
    principal    TEXT    NOT NULL COLLATE NOCASE,
    issuer       TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    owner        TEXT    COLLATE NOCASE,
    asked        TEXT    NOT NULL,
    session      TEXT,
    sql          TEXT    NOT NULL,
    parameters   TEXT    NOT NULL CHECK (json_type(parameters) = 'array'),
    notes        TEXT    NOT NULL CHECK (json_type(notes) = 'array'),
    needed       TEXT    NOT NULL CHECK (json_type(needed) = 'object'),
    channel      TEXT,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'withdrawn', 'expired',
                                                   'void', 'released', 'done', 'unknown')),
    outcome      TEXT    CHECK (json_type(outcome) = 'object'),
    card_channel TEXT,
    card_ts      TEXT,
    PRIMARY KEY (id),
    CHECK ((card_channel IS NULL) = (card_ts IS NULL)),
    -- The walls read the columns, the decision reads the question: they must name one human.
    CHECK (json_extract(asked, '$.asker.human.principal') IS principal
       AND json_extract(asked, '$.asker.human.issuer') IS issuer
       AND json_extract(asked, '$.asker.human.subject') IS subject
       AND json_extract(asked, '$.asker.human.owner') IS owner)
) STRICT, WITHOUT ROWID;

CREATE INDEX requests_by_time ON requests (created_at);
CREATE INDEX requests_by_state ON requests (state, created_at);

CREATE TRIGGER requests_begin_once_and_pending BEFORE INSERT ON requests
BEGIN
    SELECT RAISE(ABORT, 'wall:exists') WHERE EXISTS (SELECT 1 FROM requests WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'wall:illegal_move')
     WHERE NEW.state <> 'pending' OR NEW.outcome IS NOT NULL OR NEW.card_ts IS NOT NULL;
    -- An agent can't ask as a user, nor anybody under another's subject.
    SELECT RAISE(ABORT, 'wall:unknown_person')
     WHERE NOT EXISTS (SELECT 1 FROM people
                        WHERE principal = NEW.principal AND issuer = NEW.issuer AND subject = NEW.subject
                          AND (owner IS NULL) = (NEW.owner IS NULL));
END;

CREATE TRIGGER requests_keep_what_was_asked BEFORE UPDATE ON requests
BEGIN
    SELECT RAISE(ABORT, 'wall:fixed')
     WHERE NEW.id <> OLD.id
        OR NEW.kind <> OLD.kind
        OR NEW.digest <> OLD.digest
        OR NEW.principal <> OLD.principal COLLATE BINARY
        OR NEW.issuer <> OLD.issuer
        OR NEW.subject <> OLD.subject
        OR NEW.owner IS NOT OLD.owner COLLATE BINARY
        OR NEW.asked <> OLD.asked
        OR NEW.session IS NOT OLD.session
        OR NEW.sql <> OLD.sql
        OR NEW.parameters <> OLD.parameters
        OR NEW.notes <> OLD.notes
        OR NEW.channel IS NOT OLD.channel
        OR NEW.created_at <> OLD.created_at
        OR NEW.expires_at <> OLD.expires_at;
    -- An outcome comes with the state that it explains, and a card is posted once.
    SELECT RAISE(ABORT, 'wall:fixed')
     WHERE (NEW.outcome IS NOT OLD.outcome AND NEW.state = OLD.state)
        OR (OLD.card_ts IS NOT NULL
            AND (NEW.card_ts IS NOT OLD.card_ts OR NEW.card_channel IS NOT OLD.card_channel));
    SELECT RAISE(ABORT, 'wall:illegal_move')
     WHERE NEW.state <> OLD.state
       AND NOT ((OLD.state = 'pending' AND NEW.state IN ('approved', 'denied', 'withdrawn', 'expired', 'void'))
             OR (OLD.state = 'approved' AND NEW.state IN ('released', 'denied', 'withdrawn', 'expired', 'void'))
             OR (OLD.state = 'released' AND NEW.state IN ('done', 'unknown')));
    SELECT RAISE(ABORT, 'wall:unapproved')
     WHERE NEW.state <> OLD.state
       AND NEW.state IN ('approved', 'released')
       AND NOT EXISTS (SELECT 1 FROM approvals WHERE request = NEW.id AND digest = NEW.digest);
END;

CREATE TRIGGER requests_are_kept BEFORE DELETE ON requests
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;

-- One person's signed yes to one request's digest. `at_ns` is in nanoseconds, since the signature
-- covers the exact time. `owner` is kept for the signature's sake too; it is null, as only people approve.
CREATE TABLE approvals (
    request   TEXT    NOT NULL REFERENCES requests (id),
    digest    TEXT    NOT NULL,
    principal TEXT    NOT NULL COLLATE NOCASE,
    issuer    TEXT    NOT NULL,
    subject   TEXT    NOT NULL,
    owner     TEXT    COLLATE NOCASE CHECK (owner IS NULL),
    assurance TEXT    NOT NULL CHECK (assurance IN ('slack', 'cli', 'step_up')),
    at_ns     INTEGER NOT NULL,
    evidence  TEXT    NOT NULL,
    signature TEXT    NOT NULL CHECK (signature <> ''),
    PRIMARY KEY (request, principal),
    UNIQUE (request, issuer, subject)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER approvals_are_another_humans BEFORE INSERT ON approvals
BEGIN
    SELECT RAISE(ABORT, 'wall:not_found') WHERE NOT EXISTS (SELECT 1 FROM requests WHERE id = NEW.request);
    SELECT RAISE(ABORT, 'wall:agent')
     WHERE NEW.owner IS NOT NULL
        OR EXISTS (SELECT 1 FROM people
                    WHERE owner IS NOT NULL
                      AND (principal = NEW.principal OR (issuer = NEW.issuer AND subject = NEW.subject)));
    -- The requester as a principal, as a subject, or as the one who answers for the agent that asks;
    -- the last by name, or by the subject that this name is bound to.
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
    SELECT RAISE(ABORT, 'wall:other_digest')
      FROM requests AS r WHERE r.id = NEW.request AND r.digest <> NEW.digest;
    SELECT RAISE(ABORT, 'wall:already_decided')
     WHERE EXISTS (SELECT 1 FROM approvals AS a
                    WHERE a.request = NEW.request
                      AND (a.principal = NEW.principal OR (a.issuer = NEW.issuer AND a.subject = NEW.subject)));
    SELECT RAISE(ABORT, 'wall:over')
      FROM requests AS r
     WHERE r.id = NEW.request AND (r.state <> 'pending' OR NEW.at_ns >= r.expires_at * 1000000);
END;

CREATE TRIGGER approvals_are_never_changed BEFORE UPDATE ON approvals
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;

CREATE TRIGGER approvals_are_never_taken_away BEFORE DELETE ON approvals
BEGIN
    SELECT RAISE(ABORT, 'wall:kept');
END;

-- A Slack account and its principal: one to one within a workspace, made by signing in.
CREATE TABLE links (
    team       TEXT    NOT NULL CHECK (team <> ''),
    slack_user TEXT    NOT NULL CHECK (slack_user <> ''),
    principal  TEXT    NOT NULL COLLATE NOCASE CHECK (principal <> ''),
    confirmed  INTEGER NOT NULL CHECK (confirmed IN (0, 1)),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (team, slack_user),
    UNIQUE (team, principal)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER links_are_made_once BEFORE INSERT ON links
BEGIN
    SELECT RAISE(ABORT, 'wall:linked')
     WHERE EXISTS (SELECT 1 FROM links
                    WHERE team = NEW.team AND (slack_user = NEW.slack_user OR principal = NEW.principal));
END;

CREATE TRIGGER links_are_confirmed_and_nothing_else BEFORE UPDATE ON links
BEGIN
    SELECT RAISE(ABORT, 'wall:linked')
     WHERE NEW.team <> OLD.team
        OR NEW.slack_user <> OLD.slack_user
        OR NEW.principal <> OLD.principal COLLATE BINARY
        OR NEW.confirmed < OLD.confirmed
        OR NEW.created_at <> OLD.created_at;
END;

-- Links that somebody started. Whoever reads this file can't use one: only the nonce's SHA-256 is kept.
CREATE TABLE pending_links (
    nonce_hash TEXT    NOT NULL CHECK (length(nonce_hash) = 64),
    slack      TEXT    NOT NULL CHECK (json_type(slack) = 'object'),
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (nonce_hash)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER pending_links_are_started_once BEFORE INSERT ON pending_links
BEGIN
    SELECT RAISE(ABORT, 'wall:linked') WHERE EXISTS (SELECT 1 FROM pending_links WHERE nonce_hash = NEW.nonce_hash);
END;

CREATE TRIGGER pending_links_are_fixed BEFORE UPDATE ON pending_links
BEGIN
    SELECT RAISE(ABORT, 'wall:linked');
END;

-- What the bot and the event stream follow. AUTOINCREMENT, so that a number is never used twice.
CREATE TABLE events (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    request TEXT
) STRICT;
