-- Accounts, rosters, offline messages, private XML, vCards, block lists: the tables of
-- the SQLite store. Text is compared octet by octet (COLLATE "C").
--
-- An index entry has at most 2704 octets, and an account's JID may have about 2000. Where
-- another text would belong to a key, its digest does (`key`: SHA-256, made by the program).

CREATE TABLE account (
    jid         text COLLATE "C" PRIMARY KEY,
    domain      text COLLATE "C" NOT NULL,
    last_seen   bigint,               -- ms since 1970, XEP-0012
    last_status text
);
CREATE INDEX account_domain ON account (hashtextextended(domain, 0), jid);

-- What SCRAM needs (RFC 5802, section 3), one row for each hash.
CREATE TABLE account_key (
    account    text COLLATE "C" NOT NULL,
    hash       text COLLATE "C" NOT NULL, -- as IANA names it: SHA-1, SHA-256, SHA-512
    iterations bigint NOT NULL,
    salt       bytea NOT NULL,
    stored_key bytea NOT NULL,
    server_key bytea NOT NULL,
    PRIMARY KEY (account, hash)
);

-- Versions of rosters come from one sequence, so that none returns.
CREATE SEQUENCE roster_version;

CREATE TABLE roster (
    account text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL
);

CREATE TABLE roster_item (
    account      text COLLATE "C" NOT NULL,
    key          bytea NOT NULL,      -- of contact
    contact      text COLLATE "C" NOT NULL,
    name         text,
    group_names  text[] NOT NULL,
    subscription text NOT NULL,       -- none, to, from, both
    ask          boolean NOT NULL,
    approved     boolean NOT NULL,
    pending_in   text,                -- the presence stanza
    PRIMARY KEY (account, key)
);

CREATE TABLE offline (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text COLLATE "C" NOT NULL,
    at      bigint NOT NULL,          -- ms since 1970
    xml     text NOT NULL
);
CREATE INDEX offline_account ON offline (account, id);

CREATE TABLE private_xml (
    account   text COLLATE "C" NOT NULL,
    key       bytea NOT NULL,         -- of namespace and name
    namespace text NOT NULL,
    name      text NOT NULL,
    xml       text NOT NULL,
    PRIMARY KEY (account, key)
);

CREATE TABLE vcard (
    account text COLLATE "C" PRIMARY KEY,
    xml     text NOT NULL
);

CREATE TABLE blocked (
    account text COLLATE "C" NOT NULL,
    key     bytea NOT NULL,           -- of jid
    jid     text COLLATE "C" NOT NULL,
    PRIMARY KEY (account, key)
);
