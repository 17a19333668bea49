-- The indexes that live in the database: where each stands in the feed, and what is found by words. All of it can be made again from
-- the ledger, and nothing here refers to it: an index may lag behind. (What is found by vector needs an extension that a server may
-- lack, so its table is made when it is first used.)

CREATE TABLE mnemic.index_spaces (
    namespace text COLLATE "C" NOT NULL CHECK (namespace <> ''),
    index_name text COLLATE "C" NOT NULL,
    position bigint NOT NULL DEFAULT 0,      -- the last change that the index has seen
    records bigint NOT NULL DEFAULT 0,
    provider text COLLATE "C",               -- the model of its embeddings, where it has any
    model text COLLATE "C",
    dimension integer,
    metric text COLLATE "C",
    length bigint NOT NULL DEFAULT 0,        -- words of all its texts together
    documents bigint NOT NULL DEFAULT 0,     -- numbers given to documents so far
    languages bigint NOT NULL DEFAULT 0,     -- bit n is set if a text was stemmed by language n
    analysis bigint NOT NULL DEFAULT 0,      -- how texts were turned into terms
    PRIMARY KEY (namespace, index_name)
) WITH (fillfactor = 50);

CREATE TABLE mnemic.text_documents (
    namespace text COLLATE "C" NOT NULL CHECK (namespace <> ''),
    id text COLLATE "C" NOT NULL,
    document bigint NOT NULL,                -- its number, never used again
    version bigint NOT NULL,
    languages text[] COLLATE "C" NOT NULL,   -- that its words were stemmed by
    length integer NOT NULL,                 -- its words
    terms text[] COLLATE "C" NOT NULL,       -- its distinct terms, to take it out again
    user_id text COLLATE "C",
    thread_id text COLLATE "C",
    kind text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    superseded_by text COLLATE "C",
    path text[] COLLATE "C" NOT NULL,
    tags text[] COLLATE "C" NOT NULL,
    salience double precision,
    confidence double precision,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    valid_from bigint NOT NULL,
    valid_to bigint,
    expires_at bigint,
    metadata jsonb NOT NULL,
    PRIMARY KEY (namespace, id),
    UNIQUE (namespace, document)
);

-- One row for each term of each document. A plain B-tree, because the wall of a table keeps every condition whose operator is not
-- leakproof out of its indexes: under it no GIN index of a tsvector, an array or a jsonb is ever used.
CREATE TABLE mnemic.text_postings (
    namespace text COLLATE "C" NOT NULL CHECK (namespace <> ''),
    term text COLLATE "C" NOT NULL,
    document bigint NOT NULL,
    count integer NOT NULL,                  -- how often the document holds the term
    length integer NOT NULL,                 -- the document's, so that a score needs nothing else
    PRIMARY KEY (namespace, term, document) INCLUDE (count, length)
);

CREATE TABLE mnemic.text_terms (
    namespace text COLLATE "C" NOT NULL CHECK (namespace <> ''),
    term text COLLATE "C" NOT NULL,
    documents bigint NOT NULL,               -- how many documents hold it
    PRIMARY KEY (namespace, term)
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['index_spaces', 'text_documents', 'text_postings', 'text_terms'] LOOP
        EXECUTE format('ALTER TABLE mnemic.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE mnemic.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY wall ON mnemic.%I USING (namespace = current_setting(''mnemic.namespace'', true))
             WITH CHECK (namespace = current_setting(''mnemic.namespace'', true))', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON mnemic.%I TO mnemic_app', name);
    END LOOP;
END
$$;
