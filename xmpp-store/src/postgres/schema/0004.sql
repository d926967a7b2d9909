-- Persistent rooms (XEP-0045): what each has written down of itself, its lists and its history.

CREATE TABLE room (
    jid     text COLLATE "C" PRIMARY KEY,
    service text COLLATE "C" NOT NULL, -- its domain
    state   text NOT NULL,
    listed  boolean NOT NULL,
    name    text
);
CREATE INDEX room_service ON room (hashtextextended(service, 0), jid);

CREATE TABLE room_entry (
    room        text COLLATE "C" NOT NULL,
    key         bytea NOT NULL,       -- of jid
    jid         text COLLATE "C" NOT NULL,
    affiliation text NOT NULL,        -- owner, admin, member, none, outcast
    nick        text,
    reason      text,
    PRIMARY KEY (room, key)
);

CREATE TABLE room_message (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order
    room   text COLLATE "C" NOT NULL,
    key    bytea NOT NULL,            -- of id
    id     text NOT NULL,
    at     bigint NOT NULL,           -- ms since 1970
    xml    text NOT NULL,
    UNIQUE (room, key)
);
CREATE INDEX room_message_room ON room_message (room, number);
