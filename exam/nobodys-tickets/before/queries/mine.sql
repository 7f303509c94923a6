-- The open tickets that :me holds, by number.
SELECT id
FROM tickets
WHERE state = 'open' AND holder = :me
ORDER BY id;
