-- Each invoice: what it is about, what was paid, what is still due. In cents, by number.
WITH totals AS (
    SELECT invoice_id, sum(pieces * cents) AS cents FROM items GROUP BY invoice_id
),
paid AS (
    SELECT invoice_id, sum(cents) AS cents FROM payments GROUP BY invoice_id
)
SELECT
    invoices.id,
    coalesce(totals.cents, 0) AS total,
    coalesce(paid.cents, 0) AS paid,
    coalesce(totals.cents, 0) - coalesce(paid.cents, 0) AS due
FROM invoices
LEFT JOIN totals ON totals.invoice_id = invoices.id
LEFT JOIN paid ON paid.invoice_id = invoices.id
ORDER BY invoices.id;
