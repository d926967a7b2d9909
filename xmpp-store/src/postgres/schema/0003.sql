-- Stanzas that wait for other servers and that their senders need not remember any more (XEP-0198).

CREATE TABLE outbox (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain text COLLATE "C" NOT NULL, -- of the sender
    at     bigint NOT NULL,           -- ms since 1970
    xml    text NOT NULL
);
CREATE INDEX outbox_domain ON outbox (domain, id);
