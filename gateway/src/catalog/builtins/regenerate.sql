-- Prints builtins/harmless.txt from a server's catalog: psql -XAtf regenerate.sql
-- A name is printed if each function of that name in pg_catalog came with the server and is either
-- immutable or stable, or on the reviewed list of volatile ones; and none is on the list of those
-- that read files, run text as SQL, read tables that the statement does not name, or take raw
-- (internal, cstring) values, with which input functions of any type could be called.
WITH reviewed_volatile (name) AS (VALUES
  ('clock_timestamp'), ('current_query'), ('currval'), ('lastval'), ('gen_random_uuid'), ('random'), ('setseed'), ('timeofday'),
  ('pg_sleep'), ('pg_sleep_for'), ('pg_sleep_until'), ('pg_blocking_pids'), ('pg_safe_snapshot_blocking_pids'),
  ('pg_collation_actual_version'), ('pg_database_collation_actual_version'), ('pg_database_size'), ('pg_indexes_size'),
  ('pg_relation_size'), ('pg_table_size'), ('pg_tablespace_size'), ('pg_total_relation_size'), ('pg_sequence_last_value'),
  ('pg_current_wal_flush_lsn'), ('pg_current_wal_insert_lsn'), ('pg_current_wal_lsn'), ('pg_is_in_recovery'),
  ('pg_is_wal_replay_paused'), ('pg_get_wal_replay_pause_state'), ('pg_jit_available'), ('pg_last_committed_xact'),
  ('pg_last_wal_receive_lsn'), ('pg_last_wal_replay_lsn'), ('pg_last_xact_replay_timestamp'), ('pg_lock_status'),
  ('pg_notification_queue_usage'), ('pg_partition_ancestors'), ('pg_partition_tree'), ('pg_prepared_xact'),
  ('pg_stat_clear_snapshot'), ('pg_stat_force_next_flush'), ('pg_stat_have_stats'), ('pg_xact_commit_timestamp'),
  ('pg_xact_commit_timestamp_origin'), ('pg_xact_status'), ('txid_status'), ('pg_get_backend_memory_contexts'),
  ('pg_get_shmem_allocations'), ('pg_replication_origin_session_is_setup')
), never (pattern) AS (VALUES
  ('%\_to\_xml%'), ('ts\_stat'), ('ts\_rewrite'), ('xpath\_table'), ('pg\_read%'), ('pg\_ls\_%'), ('pg\_stat\_file'), ('lo\_%'),
  ('pg\_hba\_%'), ('pg\_ident\_%'), ('pg\_show\_all\_file\_settings'), ('binary\_upgrade%'), ('fmgr\_%'), ('%\_validator'),
  ('satisfies\_hash\_partition'), ('pg\_input\_%'), ('pg\_logical\_%'), ('pg\_event\_trigger\_ddl\_commands'), ('has\_parameter\_file')
)
SELECT proname
FROM pg_catalog.pg_proc p
WHERE pronamespace = 'pg_catalog'::regnamespace AND oid < 16384
GROUP BY proname
HAVING bool_and(
    (provolatile IN ('i', 's') OR proname IN (SELECT name FROM reviewed_volatile) OR proname LIKE 'pg\_stat\_get\_%')
    AND prokind IN ('f', 'a', 'w')
    AND prorettype NOT IN ('internal'::regtype, 'trigger'::regtype, 'event_trigger'::regtype)
    AND NOT ('internal'::regtype = ANY (proargtypes::oid[]) OR 'cstring'::regtype = ANY (proargtypes::oid[])))
  AND NOT EXISTS (SELECT FROM never WHERE p.proname LIKE pattern)
ORDER BY proname COLLATE "C";
