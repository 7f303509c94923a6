-- The open tickets that :me does not hold, by number.
SELECT id
FROM tickets
WHERE state = 'open' AND holder <> :me
ORDER BY id;
