-- Run once in the application's database, by a role that may create publications and slots, BEFORE
-- the lens's first full ingest: from here on the server keeps every change until it is confirmed.
-- Needs wal_level = logical.

-- TRUNCATE names no rows, so nothing could be delivered for it; a smart sync finds it.
CREATE PUBLICATION semilayer_products FOR TABLE products
    WITH (publish = 'insert, update, delete');

SELECT slot_name FROM pg_create_logical_replication_slot('semilayer_products', 'pgoutput');
