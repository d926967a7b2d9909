-- What other stores are to have of the accounts, and how far theirs have come here.

CREATE TABLE journal (
    only  INTEGER NOT NULL UNIQUE CHECK (only = 1),
    log   INTEGER NOT NULL,           -- the name of this store
    last  INTEGER NOT NULL,           -- greatest number of a record
    clock INTEGER                     -- ms since 1970
) STRICT;

CREATE TABLE journal_record (
    number  INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    key     TEXT NOT NULL,
    source  INTEGER NOT NULL,         -- the store it came from, or 0
    body    BLOB NOT NULL,
    UNIQUE (account, key)
) STRICT;

CREATE TABLE journal_mark (
    account TEXT NOT NULL UNIQUE,
    mark    INTEGER NOT NULL          -- 1 writing, 2 applying
) STRICT;

CREATE TABLE journal_head (
    log    INTEGER NOT NULL UNIQUE,
    number INTEGER NOT NULL
) STRICT;
