-- A third reason to set a monitor aside: a CHECK can only be changed with its table.
CREATE TABLE deferred_afresh (
    server TEXT NOT NULL,
    health_set_key TEXT NOT NULL, -- folded; the names below keep their spelling
    monitor_key TEXT NOT NULL,
    health_set TEXT NOT NULL,
    monitor TEXT NOT NULL,
    reason TEXT NOT NULL,
    since TEXT NOT NULL,
    not_before TEXT NOT NULL,
    why TEXT NOT NULL CHECK (why IN ('maintenance', 'storm', 'afresh')),
    taken TEXT,
    PRIMARY KEY (server, health_set_key, monitor_key)
) STRICT, WITHOUT ROWID;

INSERT INTO deferred_afresh
SELECT server, health_set_key, monitor_key, health_set, monitor, reason, since, not_before, why, taken FROM deferred;

DROP TABLE deferred;
ALTER TABLE deferred_afresh RENAME TO deferred;
CREATE INDEX deferred_until ON deferred (not_before);

-- What is changed on a server is asked by its name: an earlier incident may have left it so.
CREATE INDEX undo_items_changed ON undo_items (server) WHERE status <> 'done';
