-- Monitors whose alerts were set aside for a while: they are verified later.
CREATE TABLE deferred (
    server TEXT NOT NULL,
    health_set_key TEXT NOT NULL, -- folded; the names below keep their spelling
    monitor_key TEXT NOT NULL,
    health_set TEXT NOT NULL,
    monitor TEXT NOT NULL,
    reason TEXT NOT NULL,
    since TEXT NOT NULL,
    not_before TEXT NOT NULL,
    PRIMARY KEY (server, health_set_key, monitor_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX deferred_until ON deferred (not_before);
