-- The outbox: every change of a watched table is noted in the transaction that makes it.
-- Run once in the application's database (PostgreSQL 14 or newer); running it again changes nothing.

CREATE TABLE IF NOT EXISTS semilayer_changes (
    lens       text        NOT NULL,
    seq        bigint      GENERATED ALWAYS AS IDENTITY,
    id         text        NOT NULL,
    action     text        NOT NULL CHECK (action IN ('upsert', 'delete')),
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (lens, seq)
);

-- The text that the index knows a row by: the key's text, or for a composite key the JSON array of
-- its parts' texts, without spaces.
CREATE OR REPLACE FUNCTION semilayer_key(changed jsonb, key text[]) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE cardinality(key)
        WHEN 1 THEN changed ->> key[1]
        ELSE (SELECT '[' || string_agg(to_json(changed ->> part)::text, ',' ORDER BY place) || ']'
              FROM unnest(key) WITH ORDINALITY AS parts (part, place))
    END
$$;

-- SECURITY DEFINER: the roles that write to the table need no rights on the outbox.
CREATE OR REPLACE FUNCTION semilayer_note() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    key    text[] := TG_ARGV[1:];
    old_id text;
    new_id text;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        EXECUTE format(
            'INSERT INTO semilayer_changes (lens, id, action) '
            'SELECT $1, semilayer_key(to_jsonb(semilayer_row), $2), ''delete'' '
            'FROM %I.%I AS semilayer_row', TG_TABLE_SCHEMA, TG_TABLE_NAME) USING TG_ARGV[0], key;
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        old_id := semilayer_key(to_jsonb(OLD), key);
    END IF;
    IF TG_OP = 'DELETE' THEN
        INSERT INTO semilayer_changes (lens, id, action) VALUES (TG_ARGV[0], old_id, 'delete');
        RETURN NULL;
    END IF;
    new_id := semilayer_key(to_jsonb(NEW), key);
    IF old_id <> new_id THEN
        -- Not 'delete': another row may have taken this key in the same statement (id = id + 1).
        -- An upsert of a row that is gone removes it from the index.
        INSERT INTO semilayer_changes (lens, id, action) VALUES (TG_ARGV[0], old_id, 'upsert');
    END IF;
    INSERT INTO semilayer_changes (lens, id, action) VALUES (TG_ARGV[0], new_id, 'upsert');
    RETURN NULL;
END
$$;

-- SELECT semilayer_watch('products', 'products', 'id');
-- table, lens, then the columns of the lens's primary key in the lens's order.
CREATE OR REPLACE FUNCTION semilayer_watch(watched regclass, lens text, VARIADIC key text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    missing text := (
        SELECT string_agg(part, ', ') FROM unnest(key) AS part
        WHERE NOT EXISTS (SELECT FROM pg_attribute
                          WHERE attrelid = watched AND attname = part AND attnum > 0));
    given text := (SELECT string_agg(quote_literal(word), ', ' ORDER BY place)
                   FROM unnest(lens || key) WITH ORDINALITY AS words (word, place));
BEGIN
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION '% has no column %', watched, missing;
    END IF;
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER %I AFTER INSERT OR UPDATE OR DELETE ON %s '
        'FOR EACH ROW EXECUTE FUNCTION semilayer_note(%s)',
        'semilayer_rows_' || lens, watched, given);
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER %I BEFORE TRUNCATE ON %s '
        'FOR EACH STATEMENT EXECUTE FUNCTION semilayer_note(%s)',
        'semilayer_truncate_' || lens, watched, given);
END
$$;
