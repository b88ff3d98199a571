CREATE TABLE alerts (
    id INTEGER PRIMARY KEY,
    dedup_key TEXT NOT NULL UNIQUE,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    size INTEGER NOT NULL CHECK (size >= 0),
    received_at TEXT NOT NULL,
    alert TEXT,
    status TEXT NOT NULL CHECK (status IN ('pending', 'joined', 'suppressed', 'rejected')),
    reason TEXT NOT NULL,
    incident_id TEXT REFERENCES incidents (id),
    seen INTEGER NOT NULL DEFAULT 1 CHECK (seen > 0),
    CHECK (status <> 'joined' OR incident_id IS NOT NULL),
    CHECK (alert IS NOT NULL OR status = 'rejected')
) STRICT;

CREATE TRIGGER alerts_are_routed_once BEFORE UPDATE OF status ON alerts
WHEN OLD.status <> 'pending' OR NEW.status = 'pending'
BEGIN
    SELECT RAISE(ABORT, 'only a pending alert is routed, and only once');
END;

CREATE INDEX alerts_counted ON alerts (status, seen);

CREATE INDEX alerts_of_incident ON alerts (incident_id) WHERE incident_id IS NOT NULL;

CREATE INDEX alerts_pending ON alerts (id) WHERE status = 'pending';

CREATE INDEX alerts_rejected ON alerts (id) WHERE status = 'rejected';

CREATE INDEX alerts_suppressed ON alerts (id) WHERE status = 'suppressed';

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    at TEXT NOT NULL,
    message TEXT NOT NULL,
    incident_id TEXT NOT NULL,
    server TEXT NOT NULL,
    health_set TEXT NOT NULL,
    monitor TEXT NOT NULL,
    fields TEXT NOT NULL,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;

CREATE TABLE audit_cut (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;

CREATE TRIGGER audit_grows_at_its_end BEFORE INSERT ON audit
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM audit)
    OR NEW.prev_hash IS NOT coalesce(
        (SELECT hash FROM audit ORDER BY seq DESC LIMIT 1),
        '0000000000000000000000000000000000000000000000000000000000000000'
    )
BEGIN
    SELECT RAISE(ABORT, 'an audit row follows the last one');
END;

CREATE TRIGGER audit_is_never_cut BEFORE DELETE ON audit
WHEN OLD.seq > (SELECT seq FROM audit_cut) OR OLD.seq = (SELECT max(seq) FROM audit)
BEGIN
    SELECT RAISE(ABORT, 'audit rows are never deleted');
END;

CREATE TRIGGER audit_is_never_rewritten BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit rows are never changed');
END;

CREATE INDEX audit_of_incident ON audit (incident_id) WHERE incident_id <> '';

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

CREATE TABLE claims (
    scope TEXT PRIMARY KEY, -- a server's name, or dag:NAME
    incident_id TEXT NOT NULL,
    incident_status TEXT NOT NULL DEFAULT 'open' CHECK (incident_status = 'open'),
    since TEXT NOT NULL,
    FOREIGN KEY (incident_id, incident_status) REFERENCES incidents (id, status) DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID;

CREATE TRIGGER claims_change_hands_by_release BEFORE UPDATE ON claims
BEGIN
    SELECT RAISE(ABORT, 'a claim is released, never reassigned');
END;

CREATE INDEX claims_of_incident ON claims (incident_id, incident_status);

CREATE TRIGGER claims_outlast_steps BEFORE DELETE ON claims
WHEN EXISTS (
    SELECT 1 FROM steps
    WHERE incident_id = OLD.incident_id AND status = 'open' AND effect <> 'read'
    AND NOT EXISTS (SELECT 1 FROM quarantines WHERE server = steps.server)
)
BEGIN
    SELECT RAISE(ABORT, 'a step of the incident is unsettled');
END;

CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL CHECK (value >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE cursors (
    name TEXT PRIMARY KEY,
    seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE "deferred" (
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

CREATE INDEX deferred_until ON deferred (not_before);

CREATE TABLE incidents (
    number INTEGER PRIMARY KEY, -- in the order they were opened, whatever the clock did
    id TEXT NOT NULL UNIQUE,
    server TEXT NOT NULL,
    health_set_key TEXT NOT NULL, -- folded; the names below keep their spelling
    monitor_key TEXT NOT NULL,
    health_set TEXT NOT NULL,
    monitor TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'resolved', 'escalated', 'cancelled')),
    state TEXT NOT NULL,
    runbook TEXT NOT NULL,
    runbook_hash TEXT REFERENCES runbooks (hash), -- NULL: no runbook handles the monitor
    facts TEXT NOT NULL,
    opened_at TEXT NOT NULL,
    due_at TEXT,
    waiting_since TEXT,
    held_by TEXT NOT NULL,
    held_since TEXT,
    waiting_for TEXT NOT NULL,
    ended_at TEXT,
    reason TEXT NOT NULL,
    latched INTEGER NOT NULL CHECK (latched IN (0, 1)),
    verify_requested INTEGER NOT NULL CHECK (verify_requested IN (0, 1)),
    close_by TEXT NOT NULL,
    undo_by TEXT NOT NULL,
    parent TEXT NOT NULL, -- the incident that waits for this one
    transient INTEGER NOT NULL CHECK (transient IN (0, 1)),
    version INTEGER NOT NULL CHECK (version > 0),
    CHECK (latched = 0 OR status = 'escalated'),
    UNIQUE (id, status) -- what claims refer to
) STRICT;

CREATE INDEX incidents_alike ON incidents (health_set_key, monitor_key) WHERE status = 'open' OR latched = 1;

CREATE INDEX incidents_by_status ON incidents (status);

CREATE INDEX incidents_due ON incidents (due_at) WHERE due_at IS NOT NULL;

CREATE INDEX incidents_ended ON incidents (ended_at) WHERE ended_at IS NOT NULL;

CREATE INDEX incidents_of_key ON incidents (server, health_set_key, monitor_key);

CREATE UNIQUE INDEX incidents_one_current_per_key ON incidents (server, health_set_key, monitor_key)
WHERE status = 'open' OR latched = 1;

CREATE INDEX incidents_opened ON incidents (opened_at);

CREATE INDEX incidents_transient ON incidents (server, health_set_key, monitor_key, ended_at) WHERE transient = 1;

CREATE TABLE ledger_told (
    name TEXT PRIMARY KEY,
    size INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

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

CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again, though delivered rows are deleted
    channel TEXT NOT NULL CHECK (channel IN ('bus', 'notify')),
    topic TEXT NOT NULL,
    body TEXT NOT NULL,
    retain INTEGER NOT NULL CHECK (retain IN (0, 1)),
    created_at TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at TEXT NOT NULL
) STRICT;

CREATE INDEX outbox_of_channel ON outbox (channel, seq);

CREATE TABLE quarantines (
    server TEXT PRIMARY KEY,
    incident_id TEXT NOT NULL REFERENCES incidents (id),
    step_id TEXT NOT NULL REFERENCES steps (id),
    reason TEXT NOT NULL,
    since TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE runbooks (
    hash TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE steps (
    id TEXT PRIMARY KEY,
    incident_id TEXT NOT NULL REFERENCES incidents (id),
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    action TEXT NOT NULL,
    effect TEXT NOT NULL CHECK (effect IN ('read', 'idempotent', 'disruptive')),
    server TEXT NOT NULL,
    executor TEXT NOT NULL,
    params TEXT NOT NULL,
    baseline TEXT NOT NULL,
    memo TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'done', 'withdrawn')),
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    result TEXT NOT NULL,
    started_at TEXT NOT NULL,
    deadline_at TEXT NOT NULL,
    ended_at TEXT,
    UNIQUE (incident_id, number)
) STRICT;

CREATE TRIGGER steps_begin_only_where_they_may BEFORE INSERT ON steps
WHEN NEW.status = 'open' AND NEW.effect <> 'read'
BEGIN
    SELECT RAISE(ABORT, 'the server is quarantined')
    WHERE EXISTS (SELECT 1 FROM quarantines WHERE server = NEW.server);
    SELECT RAISE(ABORT, 'the server is not claimed by the incident')
    WHERE NOT EXISTS (SELECT 1 FROM claims WHERE scope = NEW.server AND incident_id = NEW.incident_id);
END;

CREATE INDEX steps_disruptive ON steps (started_at) WHERE effect = 'disruptive';

CREATE UNIQUE INDEX steps_one_open_per_incident ON steps (incident_id) WHERE status = 'open';

CREATE TRIGGER steps_reopen_only_where_they_may BEFORE UPDATE OF status ON steps
WHEN NEW.status = 'open' AND OLD.status <> 'open' AND NEW.effect <> 'read'
BEGIN
    SELECT RAISE(ABORT, 'the server is quarantined')
    WHERE EXISTS (SELECT 1 FROM quarantines WHERE server = NEW.server);
    SELECT RAISE(ABORT, 'the server is not claimed by the incident')
    WHERE NOT EXISTS (SELECT 1 FROM claims WHERE scope = NEW.server AND incident_id = NEW.incident_id);
END;

CREATE TRIGGER steps_stay_what_they_are BEFORE UPDATE ON steps
WHEN (NEW.id, NEW.incident_id, NEW.number, NEW.state, NEW.action, NEW.effect, NEW.server)
    IS NOT (OLD.id, OLD.incident_id, OLD.number, OLD.state, OLD.action, OLD.effect, OLD.server)
BEGIN
    SELECT RAISE(ABORT, 'the identity of a step never changes');
END;

CREATE TABLE tallies (
    name TEXT PRIMARY KEY, -- `alerts pending`, `incidents open` ...
    value INTEGER NOT NULL -- below zero if rows were added behind our back: a mismatch must stop no commit
) STRICT, WITHOUT ROWID;

CREATE TABLE undo_items (
    number INTEGER PRIMARY KEY, -- in the order they were recorded
    id TEXT NOT NULL UNIQUE,
    incident_id TEXT NOT NULL REFERENCES incidents (id),
    server TEXT NOT NULL,
    setting TEXT NOT NULL,
    earlier TEXT NOT NULL,
    applied TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'done', 'left')),
    reason TEXT NOT NULL
) STRICT;

CREATE INDEX undo_items_changed ON undo_items (server) WHERE status <> 'done';

CREATE INDEX undo_items_of_incident ON undo_items (incident_id);

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

