-- How alerts and incidents should stand by what was committed. The ledger holds the rows against it.
CREATE TABLE tallies (
    name TEXT PRIMARY KEY, -- `alerts pending`, `incidents open` ...
    value INTEGER NOT NULL -- below zero if rows were added behind our back: a mismatch must stop no commit
) STRICT, WITHOUT ROWID;

INSERT INTO tallies (name, value)
SELECT 'alerts ' || column1, (SELECT count(*) FROM alerts WHERE status = column1)
FROM (VALUES ('pending'), ('joined'), ('suppressed'), ('rejected'))
UNION ALL
SELECT 'incidents ' || column1, (SELECT count(*) FROM incidents WHERE status = column1)
FROM (VALUES ('open'), ('resolved'), ('escalated'), ('cancelled'));

-- The mismatches that a human was told of, so that a restart does not page again.
CREATE TABLE ledger_told (
    name TEXT PRIMARY KEY,
    size INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
