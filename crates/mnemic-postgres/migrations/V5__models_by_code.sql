-- A record names its model by number. Whoever writes one holds the lock of the namespace and has read or written the model behind it, and
-- models go only together with all records (`clear`), so asking the server once more for every row proves nothing and costs a fifth of
-- an insert.
ALTER TABLE mnemic.records DROP CONSTRAINT records_namespace_model_fkey;
