-- Budgets count what was done in the last hours, before every disruptive step.
CREATE INDEX steps_disruptive ON steps (started_at) WHERE effect = 'disruptive';
