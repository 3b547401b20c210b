-- Who is told in somebody's place while they are away. It gives nobody a right: policy is asked as ever.

CREATE TABLE delegations (
    principal TEXT    NOT NULL COLLATE NOCASE CHECK (principal <> ''),
    delegate  TEXT    NOT NULL COLLATE NOCASE CHECK (delegate <> '' AND delegate <> principal),
    from_at   INTEGER NOT NULL,
    until_at  INTEGER NOT NULL CHECK (until_at > from_at),
    PRIMARY KEY (principal)
) STRICT, WITHOUT ROWID;
