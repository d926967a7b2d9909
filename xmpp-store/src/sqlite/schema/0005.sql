-- What persistent rooms know of their other nodes (XEP-0289): links, what was seen, and the log.

ALTER TABLE room ADD COLUMN have TEXT; -- what it has seen, as XML

CREATE TABLE room_link (
    room   TEXT NOT NULL,
    peer   TEXT NOT NULL,
    record TEXT NOT NULL,             -- XML
    UNIQUE (room, peer)
) STRICT;

CREATE TABLE room_event (
    number INTEGER PRIMARY KEY AUTOINCREMENT, -- the order
    room   TEXT NOT NULL,
    node   TEXT NOT NULL,             -- whose it is
    epoch  INTEGER NOT NULL,          -- 64 bits without a sign
    seq    INTEGER NOT NULL,          -- the same
    at     INTEGER NOT NULL,          -- ms since 1970
    xml    TEXT NOT NULL,
    UNIQUE (room, node, epoch, seq)
) STRICT;
CREATE INDEX room_event_room ON room_event (room);
