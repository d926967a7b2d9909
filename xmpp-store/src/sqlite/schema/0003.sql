-- Stanzas that wait for other servers and that their senders need not remember any more (XEP-0198).

CREATE TABLE outbox (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    domain TEXT NOT NULL,             -- of the sender
    at     INTEGER NOT NULL,          -- ms since 1970
    xml    TEXT NOT NULL
) STRICT;
CREATE INDEX outbox_domain ON outbox (domain);
