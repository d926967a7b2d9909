-- Which of several servers gives out an account's offline messages at the moment.

CREATE TABLE offline_claim (
    account TEXT NOT NULL UNIQUE,
    holder  INTEGER NOT NULL,         -- 64 bits without a sign
    until   INTEGER NOT NULL          -- ms since 1970
) STRICT;
