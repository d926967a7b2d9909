-- Sessions over a restart of the server (XEP-0198): what it has written down of each.

CREATE TABLE session (
    account text COLLATE "C" NOT NULL,
    name    text COLLATE "C" NOT NULL, -- of its stream, at most 255 octets
    state   text NOT NULL,
    PRIMARY KEY (account, name)
);
