-- Sessions over a restart of the server (XEP-0198): what it has written down of each.

CREATE TABLE session (
    account TEXT NOT NULL,
    name    TEXT NOT NULL,            -- of its stream
    state   TEXT NOT NULL,
    UNIQUE (account, name)
) STRICT;
