-- Windows added by command; those of the configuration are not here. One that is ended early keeps its row.
CREATE TABLE windows (
    name TEXT NOT NULL,
    added_at TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('maintenance', 'freeze', 'business_hours')),
    begins TEXT NOT NULL,
    ends TEXT NOT NULL,
    servers TEXT NOT NULL,
    dags TEXT NOT NULL,
    sites TEXT NOT NULL,
    added_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    ended_by TEXT NOT NULL,
    PRIMARY KEY (name, added_at)
) STRICT, WITHOUT ROWID;

CREATE INDEX windows_until ON windows (ends);
