-- The audit log by what was done.
ALTER TABLE audit ADD KEY action (action, sequence);
