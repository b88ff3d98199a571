-- What is old is forgotten. The counts of what went keep the ledger whole, the cut keeps the chain whole.
INSERT INTO counters (name, value) VALUES ('dropped', 0), ('forgotten', 0);

CREATE TABLE audit_cut (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;

INSERT INTO audit_cut (id, seq, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

DROP TRIGGER audit_is_never_cut;

CREATE TRIGGER audit_is_never_cut BEFORE DELETE ON audit
WHEN OLD.seq > (SELECT seq FROM audit_cut) OR OLD.seq = (SELECT max(seq) FROM audit)
BEGIN
    SELECT RAISE(ABORT, 'audit rows are never deleted');
END;

CREATE INDEX alerts_rejected ON alerts (id) WHERE status = 'rejected';
CREATE INDEX alerts_suppressed ON alerts (id) WHERE status = 'suppressed';
CREATE INDEX incidents_ended ON incidents (ended_at) WHERE ended_at IS NOT NULL;
