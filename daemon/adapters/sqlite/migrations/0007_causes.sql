-- Causes that several incidents share. One that is over keeps its row: what an operator released stays released.
CREATE TABLE causes (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('monitor', 'dependency')),
    what TEXT NOT NULL,
    what_key TEXT NOT NULL,
    incidents TEXT NOT NULL,
    servers TEXT NOT NULL,
    since TEXT NOT NULL,
    told INTEGER NOT NULL,
    told_at TEXT,
    covered TEXT NOT NULL,
    ended TEXT,
    ended_by TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX causes_current ON causes (kind, what_key) WHERE ended IS NULL;

-- Which incidents of one monitor are current, on all servers.
CREATE INDEX incidents_alike ON incidents (health_set_key, monitor_key) WHERE status = 'open' OR latched = 1;
