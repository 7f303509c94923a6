-- The open tickets that :me does not hold, by number.
SELECT id
FROM tickets
WHERE state = 'open' AND holder <> :me OR holder IS NULL
ORDER BY id;
