-- What humans are told of alerts that open no incident, once a day: what nobody was told of yet, and when it was last.
CREATE TABLE notices (
    kind TEXT NOT NULL CHECK (kind IN ('rejected', 'unclear', 'unhandled')),
    about TEXT NOT NULL,
    since TEXT NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 0),
    items TEXT NOT NULL,
    alert INTEGER,
    told_at TEXT,
    PRIMARY KEY (kind, about)
) STRICT, WITHOUT ROWID;

-- Who has a monitor's problem already, by the alerts that were set aside: what verifies it only looks.
CREATE INDEX incidents_of_key ON incidents (server, health_set_key, monitor_key);
ALTER TABLE deferred ADD COLUMN taken TEXT;
