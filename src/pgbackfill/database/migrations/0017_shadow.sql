-- Tables that are replaced by new ones under traffic. A row is written in the same transaction as the DDL that it tells of.

CREATE TABLE pgbackfill.shadows (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9_.-]{0,99}$'),
    stage       text NOT NULL CHECK (stage IN ('made', 'following', 'copying', 'cut_over', 'aborted', 'dropped')),
    schema_name text NOT NULL,          -- of both tables
    table_name  text NOT NULL,          -- what the application calls it, before and after
    shadow_name text NOT NULL,          -- the new table's name until the cutover
    old_name    text NOT NULL,          -- the old table's name after it
    source      oid NOT NULL,           -- the old table
    target      oid NOT NULL,           -- the new one
    key_columns text[] NOT NULL,
    columns     text[] NOT NULL,        -- of the old table when the triggers were made
    followed    text[] NOT NULL,        -- those that the new table had as well
    own_target  boolean NOT NULL,       -- pgbackfill made the new table, so abort drops it
    way_back    boolean NOT NULL DEFAULT true, -- after the cutover the old table follows the new one
    job_name    text,                   -- the copy
    verified_at timestamptz,            -- both tables were the same, and have been kept so since
    created_by  text NOT NULL DEFAULT session_user,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX shadows_name ON pgbackfill.shadows (name) WHERE stage NOT IN ('aborted', 'dropped');
CREATE UNIQUE INDEX shadows_one_per_table ON pgbackfill.shadows (source) WHERE stage NOT IN ('aborted', 'dropped');

REVOKE ALL ON pgbackfill.shadows FROM PUBLIC;
GRANT SELECT ON pgbackfill.shadows TO pgbackfill_viewer;
-- Nothing in it is ever run as SQL, so whoever may write it gains no right of those who read it.
GRANT SELECT, INSERT, UPDATE, DELETE ON pgbackfill.shadows TO pgbackfill_enqueuer, pgbackfill_daemon;
