-- Accounts, rosters, offline messages, private XML, vCards, block lists.
--
-- Everything is keyed by the account's bare JID. Tables are rowid tables with an index:
-- with many accounts writing, inserts are three times as fast as with a clustered key.

CREATE TABLE account (
    jid         TEXT NOT NULL UNIQUE,
    domain      TEXT NOT NULL,
    last_seen   INTEGER,              -- ms since 1970, XEP-0012
    last_status TEXT
) STRICT;
CREATE INDEX account_domain ON account (domain, jid);

-- What SCRAM needs (RFC 5802, section 3), one row for each hash.
CREATE TABLE account_key (
    account    TEXT NOT NULL,
    hash       TEXT NOT NULL,         -- as IANA names it: SHA-1, SHA-256, SHA-512
    iterations INTEGER NOT NULL,
    salt       BLOB NOT NULL,
    stored_key BLOB NOT NULL,
    server_key BLOB NOT NULL,
    UNIQUE (account, hash)
) STRICT;

-- The version of each roster's last change. It is the row's number, which AUTOINCREMENT
-- never gives twice: each change replaces the row.
CREATE TABLE roster (
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE roster_item (
    account      TEXT NOT NULL,
    contact      TEXT NOT NULL,
    name         TEXT,
    group_names  TEXT NOT NULL,       -- each followed by U+001F, which XML cannot hold
    subscription TEXT NOT NULL,       -- none, to, from, both
    ask          INTEGER NOT NULL,    -- 0 or 1
    approved     INTEGER NOT NULL,    -- 0 or 1
    pending_in   TEXT,                -- the presence stanza
    UNIQUE (account, contact)
) STRICT;

CREATE TABLE offline (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    at      INTEGER NOT NULL,         -- ms since 1970
    xml     TEXT NOT NULL
) STRICT;
CREATE INDEX offline_account ON offline (account);

CREATE TABLE private_xml (
    account   TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    xml       TEXT NOT NULL,
    UNIQUE (account, namespace, name)
) STRICT;

CREATE TABLE vcard (
    account TEXT NOT NULL UNIQUE,
    xml     TEXT NOT NULL
) STRICT;

CREATE TABLE blocked (
    account TEXT NOT NULL,
    jid     TEXT NOT NULL,
    UNIQUE (account, jid)
) STRICT;
