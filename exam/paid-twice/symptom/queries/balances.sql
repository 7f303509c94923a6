-- Each invoice: what it is about, what was paid, what is still due. In cents, by number.
SELECT
    invoices.id,
    coalesce(sum(DISTINCT items.pieces * items.cents), 0) AS total,
    coalesce(sum(DISTINCT payments.cents), 0) AS paid,
    coalesce(sum(DISTINCT items.pieces * items.cents), 0) - coalesce(sum(DISTINCT payments.cents), 0) AS due
FROM invoices
LEFT JOIN items ON items.invoice_id = invoices.id
LEFT JOIN payments ON payments.invoice_id = invoices.id
GROUP BY invoices.id
ORDER BY invoices.id;
