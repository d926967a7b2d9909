-- Persistent rooms (XEP-0045): what each has written down of itself, its lists and its history.

CREATE TABLE room (
    jid     TEXT NOT NULL UNIQUE,
    service TEXT NOT NULL,            -- its domain
    state   TEXT NOT NULL,
    listed  INTEGER NOT NULL,         -- 0 or 1
    name    TEXT
) STRICT;
CREATE INDEX room_service ON room (service, jid);

CREATE TABLE room_entry (
    room        TEXT NOT NULL,
    jid         TEXT NOT NULL,
    affiliation TEXT NOT NULL,        -- owner, admin, member, none, outcast
    nick        TEXT,
    reason      TEXT,
    UNIQUE (room, jid)
) STRICT;

CREATE TABLE room_message (
    number INTEGER PRIMARY KEY AUTOINCREMENT, -- the order
    room   TEXT NOT NULL,
    id     TEXT NOT NULL,
    at     INTEGER NOT NULL,          -- ms since 1970
    xml    TEXT NOT NULL,
    UNIQUE (room, id)
) STRICT;
CREATE INDEX room_message_room ON room_message (room);
