-- Which of several servers gives out an account's offline messages at the moment.

CREATE TABLE offline_claim (
    account text COLLATE "C" PRIMARY KEY,
    holder  bigint NOT NULL,          -- 64 bits without a sign
    until   bigint NOT NULL           -- ms since 1970
);
