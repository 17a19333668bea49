-- The ledger: what is true, per namespace. Every key begins with the namespace, so that no constraint tells of another one.
-- Positions in the feed ("seq") are the one clock of a namespace: a record's or a thread's ordinal is the position of the change
-- that first wrote it, so it is never used again, and the feed needs no names.

CREATE TABLE mnemic.namespaces (
    namespace text COLLATE "C" PRIMARY KEY CHECK (namespace <> ''),
    head bigint NOT NULL DEFAULT 0,          -- position of the last change
    sequence bigint NOT NULL DEFAULT 0,      -- the last event of the chain
    tail bytea NOT NULL DEFAULT '\x0000000000000000000000000000000000000000000000000000000000000000'  -- and its hash
) WITH (fillfactor = 50);

CREATE TABLE mnemic.models (
    namespace text COLLATE "C" NOT NULL CHECK (namespace <> ''),
    no integer NOT NULL,
    provider text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    dimension integer NOT NULL,
    metric text COLLATE "C" NOT NULL,
    PRIMARY KEY (namespace, no),
    UNIQUE (namespace, provider, name, dimension, metric)
);

CREATE TABLE mnemic.records (
    namespace text COLLATE "C" NOT NULL CHECK (namespace <> ''),
    ordinal bigint NOT NULL,
    id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    seq bigint NOT NULL,                     -- the change that made this revision, or that deleted it
    created_at bigint NOT NULL,
    user_id text COLLATE "C",                -- of the last revision, also after its deletion
    thread_id text COLLATE "C",
    kind text COLLATE "C",
    source text COLLATE "C",
    superseded_by text COLLATE "C",
    salience double precision,
    confidence double precision,
    updated_at bigint,
    valid_from bigint,
    valid_to bigint,
    expires_at bigint,
    facets jsonb,                            -- tags, path and metadata, for filters
    model integer,
    crc bigint,                              -- of the vector
    body bytea,                              -- NULL: deleted, only its history is left
    vector bytea,
    PRIMARY KEY (namespace, ordinal),
    UNIQUE (namespace, id),
    FOREIGN KEY (namespace, model) REFERENCES mnemic.models (namespace, no)
);
ALTER TABLE mnemic.records ALTER COLUMN vector SET STORAGE EXTERNAL;  -- floats do not compress
CREATE INDEX records_of_user ON mnemic.records (namespace, user_id, ordinal) WHERE user_id IS NOT NULL;

CREATE TABLE mnemic.revisions (              -- superseded revisions and past deletions
    namespace text COLLATE "C" NOT NULL CHECK (namespace <> ''),
    ordinal bigint NOT NULL,
    seq bigint NOT NULL,
    version bigint NOT NULL,
    created_at bigint NOT NULL,
    user_id text COLLATE "C",
    body bytea,                              -- NULL: a deletion
    PRIMARY KEY (namespace, ordinal, seq)
);
CREATE INDEX revisions_of_user ON mnemic.revisions (namespace, user_id) WHERE user_id IS NOT NULL;

CREATE TABLE mnemic.events (
    namespace text COLLATE "C" NOT NULL CHECK (namespace <> ''),
    sequence bigint NOT NULL,
    recorded_at bigint NOT NULL,
    event_id text COLLATE "C",               -- NULL from here on: erased
    thread_id text COLLATE "C",
    user_id text COLLATE "C",
    body bytea,
    salt bytea,
    commitment bytea NOT NULL,
    previous bytea NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (namespace, sequence)
);
CREATE UNIQUE INDEX events_by_id ON mnemic.events (namespace, event_id) WHERE event_id IS NOT NULL;
CREATE INDEX events_of_thread ON mnemic.events (namespace, thread_id, sequence) WHERE thread_id IS NOT NULL;
CREATE INDEX events_of_user ON mnemic.events (namespace, user_id, sequence) WHERE user_id IS NOT NULL;

CREATE TABLE mnemic.slot_threads (
    namespace text COLLATE "C" NOT NULL CHECK (namespace <> ''),
    thread_id text COLLATE "C" NOT NULL,
    ordinal bigint NOT NULL,
    held integer NOT NULL,                   -- how many slots the last version has
    PRIMARY KEY (namespace, thread_id),
    UNIQUE (namespace, ordinal)
);

CREATE TABLE mnemic.slot_revisions (
    namespace text COLLATE "C" NOT NULL CHECK (namespace <> ''),
    ordinal bigint NOT NULL,
    seq bigint NOT NULL,
    version bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (namespace, ordinal, seq)
);

CREATE TABLE mnemic.commits (                -- the feed, one row per commit
    namespace text COLLATE "C" NOT NULL CHECK (namespace <> ''),
    last bigint NOT NULL,                    -- position of its last change
    at bigint NOT NULL,
    changes bytea NOT NULL,
    PRIMARY KEY (namespace, last)
);

CREATE TABLE mnemic.erased_names (
    namespace text COLLATE "C" NOT NULL CHECK (namespace <> ''),
    ordinal bigint NOT NULL,
    id text COLLATE "C" NOT NULL,
    PRIMARY KEY (namespace, ordinal)
);

CREATE TABLE mnemic.outbox (
    namespace text COLLATE "C" NOT NULL CHECK (namespace <> ''),
    id bigint NOT NULL,
    task text COLLATE "C" NOT NULL,
    ordinal bigint NOT NULL,
    version bigint NOT NULL,
    since bigint NOT NULL,
    PRIMARY KEY (namespace, id)
);
CREATE INDEX outbox_of ON mnemic.outbox (namespace, ordinal);

CREATE TABLE mnemic.receipts (
    namespace text COLLATE "C" NOT NULL CHECK (namespace <> ''),
    key text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL,
    at bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (namespace, key)
);
CREATE INDEX receipts_by_age ON mnemic.receipts (namespace, at);

-- The wall: what a statement sees and writes is what the transaction's namespace holds, and nothing where there is none.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'namespaces', 'models', 'records', 'revisions', 'events', 'slot_threads', 'slot_revisions', 'commits', 'erased_names',
        'outbox', 'receipts'
    ] LOOP
        EXECUTE format('ALTER TABLE mnemic.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE mnemic.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY wall ON mnemic.%I USING (namespace = current_setting(''mnemic.namespace'', true))
             WITH CHECK (namespace = current_setting(''mnemic.namespace'', true))', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON mnemic.%I TO mnemic_app', name);
    END LOOP;
END
$$;

-- Listing namespaces is the one thing that spans them: another role, two columns, no data.
CREATE POLICY listing ON mnemic.namespaces FOR SELECT TO mnemic_list USING (true);
GRANT SELECT (namespace, head) ON mnemic.namespaces TO mnemic_list;
