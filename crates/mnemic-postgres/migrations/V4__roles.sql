-- The part that a namespace plays while its memory moves. It is read with the lock that every commit takes.
ALTER TABLE mnemic.namespaces
    ADD COLUMN serving boolean NOT NULL DEFAULT true,  -- whether it takes writes
    ADD COLUMN epoch bigint NOT NULL DEFAULT 0,        -- how often its role changed
    ADD COLUMN role bytea;                             -- NULL: it serves, and never did anything else

-- The same as before, for namespaces that serve.
CREATE OR REPLACE FUNCTION mnemic.commit_new(
    of_namespace text,
    place bigint[],        -- guessed head and sequence; head and sequence afterwards; receipts before this instant are let go, if any
    tails bytea[],         -- guessed tail; tail afterwards
    space text[],          -- the model of all vectors: number, provider, name, dimension, metric; NULL where there is no vector
    record_ordinals bigint[], record_ids text[], record_versions bigint[], record_seqs bigint[], record_created bigint[],
    record_users text[], record_threads text[], record_kinds text[], record_sources text[], record_successors text[],
    record_saliences double precision[], record_confidences double precision[], record_updated bigint[],
    record_valid_from bigint[], record_valid_to bigint[], record_expires bigint[], record_facets text[], record_models integer[],
    record_crcs bigint[], record_bodies bytea[], record_vectors bytea[],
    commit_lasts bigint[], commit_ats bigint[], commit_changes bytea[],
    outbox_ids bigint[], outbox_tasks text[], outbox_ordinals bigint[], outbox_versions bigint[], outbox_since bigint[],
    event_sequences bigint[], event_recorded bigint[], event_ids text[], event_threads text[], event_users text[],
    event_bodies bytea[], event_salts bytea[], event_commitments bytea[], event_previous bytea[], event_hashes bytea[],
    receipt_keys text[], receipt_fingerprints bytea[], receipt_ats bigint[], receipt_bodies bytea[]
) RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
BEGIN
    -- A statement after the lock must see what the lock waited for. Where the server's default is another level, the caller has to say so.
    IF pg_catalog.current_setting('transaction_isolation') <> 'read committed' THEN
        RETURN false;
    END IF;
    -- Plans are made once per connection, perhaps while tables are still empty, and must hold when they are not.
    PERFORM pg_catalog.set_config('role', 'mnemic_app', true), pg_catalog.set_config('mnemic.namespace', of_namespace, true),
        pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true), pg_catalog.set_config('enable_seqscan', 'off', true);
    BEGIN
        -- The lock, the guess and the move in one.
        UPDATE mnemic.namespaces n SET head = place[3], sequence = place[4], tail = tails[2]
        WHERE n.namespace = of_namespace AND n.serving AND n.head = place[1] AND n.sequence = place[2] AND n.tail = tails[1]
            AND (space IS NULL OR EXISTS (SELECT FROM mnemic.models m WHERE m.namespace = of_namespace AND m.no = space[1]::integer
                AND m.provider = space[2] AND m.name = space[3] AND m.dimension = space[4]::integer AND m.metric = space[5]));
        IF NOT FOUND THEN
            RETURN false;
        END IF;
        IF cardinality(record_ordinals) > 0 THEN
            INSERT INTO mnemic.records (namespace, ordinal, id, version, seq, created_at, user_id, thread_id, kind, source, superseded_by,
                salience, confidence, updated_at, valid_from, valid_to, expires_at, facets, model, crc, body, vector)
            SELECT of_namespace, u.ordinal, u.id, u.version, u.seq, u.created_at, u.user_id, u.thread_id, u.kind, u.source, u.superseded_by,
                u.salience, u.confidence, u.updated_at, u.valid_from, u.valid_to, u.expires_at, u.facets::jsonb, u.model, u.crc, u.body,
                u.vector
            FROM unnest(record_ordinals, record_ids, record_versions, record_seqs, record_created, record_users, record_threads,
                record_kinds, record_sources, record_successors, record_saliences, record_confidences, record_updated, record_valid_from,
                record_valid_to, record_expires, record_facets, record_models, record_crcs, record_bodies, record_vectors)
                AS u(ordinal, id, version, seq, created_at, user_id, thread_id, kind, source, superseded_by, salience, confidence, updated_at,
                valid_from, valid_to, expires_at, facets, model, crc, body, vector);
        END IF;
        INSERT INTO mnemic.commits (namespace, last, at, changes)
        SELECT of_namespace, u.* FROM unnest(commit_lasts, commit_ats, commit_changes) AS u;
        IF cardinality(outbox_ids) > 0 THEN
            INSERT INTO mnemic.outbox (namespace, id, task, ordinal, version, since)
            SELECT of_namespace, u.* FROM unnest(outbox_ids, outbox_tasks, outbox_ordinals, outbox_versions, outbox_since) AS u;
        END IF;
        IF cardinality(event_sequences) > 0 THEN
            INSERT INTO mnemic.events (namespace, sequence, recorded_at, event_id, thread_id, user_id, body, salt, commitment, previous, hash)
            SELECT of_namespace, u.* FROM unnest(event_sequences, event_recorded, event_ids, event_threads, event_users, event_bodies,
                event_salts, event_commitments, event_previous, event_hashes) AS u;
        END IF;
        IF place[5] IS NOT NULL THEN
            DELETE FROM mnemic.receipts k WHERE k.namespace = of_namespace AND k.at < place[5];
        END IF;
        IF cardinality(receipt_keys) > 0 THEN
            INSERT INTO mnemic.receipts (namespace, key, fingerprint, at, body)
            SELECT of_namespace, u.* FROM unnest(receipt_keys, receipt_fingerprints, receipt_ats, receipt_bodies) AS u;
        END IF;
    EXCEPTION WHEN unique_violation THEN
        -- Something was not new. All of the above is undone.
        RETURN false;
    END;
    RETURN true;
END
$$;
