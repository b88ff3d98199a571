-- Why a monitor was set aside: told by no wording of the reason any more.
ALTER TABLE deferred ADD COLUMN why TEXT NOT NULL DEFAULT 'maintenance' CHECK (why IN ('maintenance', 'storm'));

UPDATE deferred SET why = 'storm' WHERE reason GLOB 'the cap of *';
