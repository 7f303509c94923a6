-- Every customer by name: number and sum of the orders placed from :since on.
SELECT customers.name, count(orders.id) AS orders, coalesce(sum(orders.cents), 0) AS cents
FROM customers
LEFT JOIN orders ON orders.customer_id = customers.id
WHERE orders.placed >= :since OR orders.id IS NULL
GROUP BY customers.id
ORDER BY customers.name;
