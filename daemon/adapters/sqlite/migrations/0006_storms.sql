-- The cap on new incidents counts those of the last minute, before each opening.
CREATE INDEX incidents_opened ON incidents (opened_at);
