-- What the SQLite store asks, by name. A line `-- name: x` begins the statement x.

-- name: ingest
INSERT INTO alerts (dedup_key, topic, payload, size, received_at, alert, status, reason)
VALUES (:dedup_key, :topic, :payload, :size, :received_at, :alert, :status, :reason)
ON CONFLICT (dedup_key) DO UPDATE SET seen = seen + 1
RETURNING id, topic, received_at, alert, status, reason, incident_id, seen;

-- name: count
UPDATE counters SET value = value + :by WHERE name = :name;

-- name: tally
UPDATE tallies SET value = value + :by WHERE name = :name;

-- name: pending_alerts
SELECT id, topic, received_at, alert, status, reason, incident_id, seen
FROM alerts INDEXED BY alerts_pending WHERE status = 'pending' ORDER BY id LIMIT :limit;

-- name: alerts_of
SELECT id, topic, received_at, alert, status, reason, incident_id, seen
FROM alerts WHERE incident_id = :incident_id AND status = 'joined' ORDER BY id;

-- name: newest_alerts
SELECT id, topic, received_at, alert, status, reason, incident_id, seen FROM alerts ORDER BY id DESC LIMIT :limit;

-- name: newest_alerts_of_status
SELECT id, topic, received_at, alert, status, reason, incident_id, seen
FROM alerts WHERE status = :status ORDER BY id DESC LIMIT :limit;

-- name: alert
SELECT id, topic, received_at, alert, status, reason, incident_id, seen FROM alerts WHERE id = :id;

-- name: payload
SELECT payload, size FROM alerts WHERE id = :id;

-- name: notices
SELECT * FROM notices ORDER BY since, kind, about;

-- name: notice
SELECT * FROM notices WHERE kind = :kind AND about = :about;

-- name: notices_of_kind
SELECT count(*) AS count FROM notices WHERE kind = :kind;

-- name: put_notice
INSERT INTO notices (kind, about, since, count, items, alert, told_at)
VALUES (:kind, :about, :since, :count, :items, :alert, :told_at)
ON CONFLICT (kind, about) DO UPDATE SET
    since = excluded.since, count = excluded.count, items = excluded.items, alert = excluded.alert,
    told_at = excluded.told_at;

-- name: forget_notices
DELETE FROM notices WHERE count = 0 AND (told_at <= :before OR told_at > :now);

-- name: alert_status
SELECT status FROM alerts WHERE id = :id;

-- name: route
UPDATE alerts SET status = :status, reason = :reason, incident_id = :incident_id WHERE id = :alert_id;

-- name: insert_incident
INSERT INTO incidents (
    id, server, health_set_key, monitor_key, health_set, monitor, status, state, runbook, runbook_hash, facts,
    opened_at, due_at, waiting_since, held_by, held_since, waiting_for, ended_at, reason, latched, verify_requested, close_by,
    undo_by, parent, transient, version
) VALUES (
    :id, :server, :health_set_key, :monitor_key, :health_set, :monitor, :status, :state, :runbook, :runbook_hash,
    :facts, :opened_at, :due_at, :waiting_since, :held_by, :held_since, :waiting_for, :ended_at, :reason, :latched,
    :verify_requested, :close_by, :undo_by, :parent, :transient, 1
);

-- name: update_incident
UPDATE incidents SET
    server = :server, health_set_key = :health_set_key, monitor_key = :monitor_key, health_set = :health_set,
    monitor = :monitor, status = :status, state = :state, runbook = :runbook, runbook_hash = :runbook_hash,
    facts = :facts, opened_at = :opened_at, due_at = :due_at, waiting_since = :waiting_since,
    held_by = :held_by, held_since = :held_since, waiting_for = :waiting_for, ended_at = :ended_at, reason = :reason, latched = :latched,
    verify_requested = :verify_requested, close_by = :close_by,
    undo_by = :undo_by, parent = :parent, transient = :transient, version = version + 1
WHERE id = :id AND version = :version;

-- name: incident
SELECT * FROM incidents WHERE id = :id;

-- name: incident_status
SELECT status FROM incidents WHERE id = :id;

-- name: incidents
SELECT * FROM incidents ORDER BY number DESC LIMIT :limit;

-- name: incidents_of_status
SELECT * FROM incidents WHERE status = :status ORDER BY number DESC LIMIT :limit;

-- name: current_incident
SELECT * FROM incidents
WHERE server = :server AND health_set_key = :health_set AND monitor_key = :monitor AND (status = 'open' OR latched = 1);

-- name: latest_incident
SELECT * FROM incidents
WHERE server = :server AND health_set_key = :health_set AND monitor_key = :monitor ORDER BY number DESC LIMIT 1;

-- name: alike
SELECT * FROM incidents
WHERE health_set_key = :health_set AND monitor_key = :monitor AND (status = 'open' OR latched = 1)
ORDER BY opened_at, id;

-- name: on_server
SELECT * FROM incidents
WHERE server = :server AND (status = 'open' OR latched = 1)
ORDER BY opened_at, id;

-- name: transients
SELECT * FROM incidents
WHERE server = :server AND health_set_key = :health_set AND monitor_key = :monitor AND transient = 1 AND ended_at > :since
ORDER BY number;

-- name: due_incidents
SELECT * FROM incidents WHERE due_at <= :now ORDER BY due_at, number LIMIT :limit;

-- name: next_due
SELECT min(due_at) AS due_at FROM incidents WHERE due_at IS NOT NULL;

-- name: insert_runbook
INSERT INTO runbooks (hash, name, text) VALUES (:hash, :name, :text) ON CONFLICT (hash) DO NOTHING;

-- name: runbook
SELECT hash, name, text FROM runbooks WHERE hash = :hash;

-- name: claim
INSERT INTO claims (scope, incident_id, since) VALUES (:scope, :incident_id, :since) ON CONFLICT (scope) DO NOTHING;

-- name: claims
SELECT scope FROM claims;

-- name: claim_holder
SELECT incident_id FROM claims WHERE scope = :scope;

-- name: release
DELETE FROM claims WHERE incident_id = :incident_id;

-- name: release_wide
DELETE FROM claims WHERE incident_id = :incident_id AND scope <> :server;

-- name: insert_step
INSERT INTO steps (
    id, incident_id, number, state, action, effect, server, executor, params, baseline, memo, status, outcome,
    detail, result, started_at, deadline_at, ended_at
) VALUES (
    :id, :incident_id, :number, :state, :action, :effect, :server, :executor, :params, :baseline, :memo, :status,
    :outcome, :detail, :result, :started_at, :deadline_at, :ended_at
);

-- name: update_step
UPDATE steps SET
    incident_id = :incident_id, number = :number, state = :state, action = :action, effect = :effect,
    server = :server, executor = :executor, params = :params, baseline = :baseline, memo = :memo, status = :status,
    outcome = :outcome, detail = :detail, result = :result, started_at = :started_at, deadline_at = :deadline_at,
    ended_at = :ended_at
WHERE id = :id;

-- name: step
SELECT * FROM steps WHERE id = :id;

-- name: steps
SELECT * FROM steps WHERE incident_id = :incident_id ORDER BY number;

-- name: step_of_number
SELECT * FROM steps WHERE incident_id = :incident_id AND number = :number;

-- name: open_step
SELECT * FROM steps WHERE incident_id = :incident_id AND status = 'open';

-- name: record_undo
INSERT INTO undo_items (id, incident_id, server, setting, earlier, applied, status, reason)
VALUES (:id, :incident_id, :server, :setting, :earlier, :applied, :status, :reason)
ON CONFLICT (id) DO UPDATE SET
    incident_id = excluded.incident_id, server = excluded.server, setting = excluded.setting,
    earlier = excluded.earlier, applied = excluded.applied, status = excluded.status, reason = excluded.reason;

-- name: undo_items
SELECT * FROM undo_items WHERE incident_id = :incident_id ORDER BY number;

-- name: changed_on
SELECT * FROM undo_items WHERE server = :server AND status <> 'done' ORDER BY number;

-- name: set_quarantine
INSERT INTO quarantines (server, incident_id, step_id, reason, since)
VALUES (:server, :incident_id, :step_id, :reason, :since)
ON CONFLICT (server) DO UPDATE SET incident_id = excluded.incident_id, reason = excluded.reason, since = excluded.since
WHERE step_id = excluded.step_id;

-- name: lift_quarantine
DELETE FROM quarantines WHERE server = :server;

-- name: quarantine
SELECT * FROM quarantines WHERE server = :server;

-- name: spent
SELECT count(*) AS steps,
    count(DISTINCT CASE WHEN incident_id <> :incident_id THEN incident_id END) AS ladders
FROM steps
WHERE effect = 'disruptive' AND started_at > :since
    AND server IN (SELECT value FROM json_each(:servers)) AND action IN (SELECT value FROM json_each(:actions))
    AND executor <> '' AND status <> 'withdrawn' AND outcome <> 'refused';

-- name: quarantines
SELECT * FROM quarantines ORDER BY server;

-- name: defer
INSERT INTO deferred (server, health_set_key, monitor_key, health_set, monitor, why, reason, since, not_before, taken)
VALUES (:server, :health_set_key, :monitor_key, :health_set, :monitor, :why, :reason, :since, :not_before, :taken)
ON CONFLICT (server, health_set_key, monitor_key) DO UPDATE SET
    health_set = excluded.health_set, monitor = excluded.monitor, why = excluded.why, reason = excluded.reason,
    since = min(since, excluded.since), not_before = min(not_before, excluded.not_before), taken = excluded.taken;

-- name: undefer
DELETE FROM deferred
WHERE server = :server AND health_set_key = :health_set_key AND monitor_key = :monitor_key;

-- name: deferred
SELECT * FROM deferred WHERE not_before <= :now
ORDER BY not_before, server, health_set_key, monitor_key LIMIT :limit;

-- name: opened
SELECT count(*) AS count FROM incidents
WHERE opened_at > :since AND opened_at <= :until AND server IN (SELECT value FROM json_each(:servers));

-- name: put_window
INSERT INTO windows (name, added_at, kind, begins, ends, servers, dags, sites, added_by, reason, ended_by)
VALUES (:name, :added_at, :kind, :begins, :ends, :servers, :dags, :sites, :added_by, :reason, :ended_by)
ON CONFLICT (name, added_at) DO UPDATE SET
    kind = excluded.kind, begins = excluded.begins, ends = excluded.ends, servers = excluded.servers,
    dags = excluded.dags, sites = excluded.sites, added_by = excluded.added_by, reason = excluded.reason,
    ended_by = excluded.ended_by;

-- name: windows
SELECT * FROM windows WHERE ends > :since ORDER BY begins, name, added_at;

-- name: insert_cause
INSERT INTO causes (
    id, kind, what, what_key, incidents, servers, since, told, told_at, covered, ended, ended_by, version
)
VALUES (
    :id, :kind, :what, :what_key, :incidents, :servers, :since, :told, :told_at, :covered, :ended, :ended_by,
    :version + 1
);

-- name: update_cause
UPDATE causes SET incidents = :incidents, servers = :servers, told = :told, told_at = :told_at, covered = :covered,
    ended = :ended, ended_by = :ended_by, version = version + 1
WHERE id = :id AND version = :version AND ended IS NULL;

-- name: causes
SELECT * FROM causes WHERE ended IS NULL ORDER BY since, id;

-- name: causes_of
SELECT * FROM causes
WHERE EXISTS (SELECT 1 FROM json_each(incidents) WHERE value IN (SELECT value FROM json_each(:ids)))
   OR EXISTS (SELECT 1 FROM json_each(covered) WHERE value IN (SELECT value FROM json_each(:ids)))
ORDER BY since, id;

-- name: last_audit
SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1;

-- name: append_audit
INSERT INTO audit (seq, kind, at, message, incident_id, server, health_set, monitor, fields, prev_hash, hash)
VALUES (:seq, :kind, :at, :message, :incident_id, :server, :health_set, :monitor, :fields, :prev_hash, :hash);

-- name: audit_after
SELECT * FROM audit WHERE seq > :seq ORDER BY seq LIMIT :limit;

-- name: audit_of
SELECT * FROM audit WHERE incident_id = :incident_id AND incident_id <> '' ORDER BY seq;

-- name: send
INSERT INTO outbox (channel, topic, body, retain, created_at, due_at)
VALUES (:channel, :topic, :body, :retain, :at, :at);

-- name: outbox
SELECT * FROM outbox WHERE channel = :channel ORDER BY seq LIMIT :limit;

-- name: outbox_delivered
DELETE FROM outbox WHERE seq = :seq;

-- name: outbox_retry
UPDATE outbox SET attempts = attempts + 1, due_at = :due_at WHERE seq = :seq;

-- name: cursor
SELECT seq FROM cursors WHERE name = :name;

-- name: set_cursor
INSERT INTO cursors (name, seq) VALUES (:name, :seq) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq;

-- name: forget_told
DELETE FROM ledger_told;

-- name: tell
INSERT INTO ledger_told (name, size) VALUES (:name, :size);

-- name: ledger
SELECT 'counter' AS source, name, value AS number FROM counters
UNION ALL SELECT 'tally', name, value FROM tallies
UNION ALL SELECT 'told', name, size FROM ledger_told
UNION ALL SELECT 'alerts', status, count(*) FROM alerts GROUP BY status
UNION ALL SELECT 'incidents', status, count(*) FROM incidents GROUP BY status
UNION ALL SELECT 'stored', '', count(*) FROM alerts
UNION ALL SELECT 'duplicates', '', coalesce(sum(seen - 1), 0) FROM alerts;

-- name: strays
SELECT 'stray' AS source, "table" || ' without the ' || parent AS name, count(*) AS number
FROM pragma_foreign_key_check GROUP BY "table", parent;

-- name: rejected_cut
SELECT coalesce(max(id), 0) AS id FROM (
    SELECT id, received_at, row_number() OVER newest AS number, sum(size) OVER newest AS bytes
    FROM (
        SELECT id, received_at, length(payload) AS size FROM alerts WHERE status = 'rejected'
        ORDER BY id DESC LIMIT :most + 1
    )
    WINDOW newest AS (ORDER BY id DESC)
)
WHERE received_at < :before OR number > :most OR bytes > :bytes;

-- name: drop_rejected
DELETE FROM alerts WHERE id IN (
    SELECT id FROM alerts WHERE status = 'rejected' AND id <= :id ORDER BY id LIMIT :limit
) RETURNING status, seen;

-- name: drop_suppressed
DELETE FROM alerts WHERE id IN (
    SELECT id FROM (
        SELECT id, received_at FROM alerts WHERE status = 'suppressed' ORDER BY id LIMIT :limit
    ) WHERE received_at < :before
) RETURNING status, seen;

-- name: past_incidents
SELECT id, status FROM incidents
WHERE ended_at < :before AND status <> 'open' AND latched = 0
    AND NOT EXISTS (
        SELECT 1 FROM undo_items WHERE incident_id = incidents.id AND undo_items.status IN ('pending', 'left')
    )
    AND NOT EXISTS (SELECT 1 FROM quarantines WHERE incident_id = incidents.id)
ORDER BY ended_at, number LIMIT :limit;

-- name: drop_alerts_of
DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE incident_id = :id ORDER BY id LIMIT :limit)
RETURNING status, seen;

-- name: drop_steps
DELETE FROM steps WHERE incident_id = :id;

-- name: drop_undo
DELETE FROM undo_items WHERE incident_id = :id;

-- name: drop_incident
DELETE FROM incidents WHERE id = :id;

-- name: audit_cut
SELECT seq, hash FROM audit_cut;

-- name: old_audit
SELECT * FROM audit WHERE seq < (SELECT max(seq) FROM audit) AND seq <= :followed ORDER BY seq LIMIT :limit;

-- name: cut_audit
UPDATE audit_cut SET seq = :seq, hash = :hash WHERE seq < :seq;

-- name: drop_audit
DELETE FROM audit WHERE seq <= :seq;
