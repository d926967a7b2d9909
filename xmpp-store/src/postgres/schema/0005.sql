-- What persistent rooms know of their other nodes (XEP-0289): links, what was seen, and the log.

ALTER TABLE room ADD COLUMN have text; -- what it has seen, as XML

CREATE TABLE room_link (
    room   text COLLATE "C" NOT NULL REFERENCES room ON DELETE CASCADE,
    key    bytea NOT NULL,            -- of peer
    peer   text COLLATE "C" NOT NULL,
    record text NOT NULL,             -- XML
    PRIMARY KEY (room, key)
);

CREATE TABLE room_event (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order
    room   text COLLATE "C" NOT NULL REFERENCES room ON DELETE CASCADE,
    key    bytea NOT NULL,            -- of node
    node   text COLLATE "C" NOT NULL, -- whose it is
    epoch  bigint NOT NULL,           -- 64 bits without a sign
    seq    bigint NOT NULL,           -- the same
    at     bigint NOT NULL,           -- ms since 1970
    xml    text NOT NULL,
    UNIQUE (room, key, epoch, seq)
);
CREATE INDEX room_event_room ON room_event (room, number);
