-- Every customer by name: number and sum of the orders placed from :since on.
SELECT customers.name, count(*) AS orders, sum(orders.cents) AS cents
FROM customers
JOIN orders ON orders.customer_id = customers.id
WHERE orders.placed >= :since
GROUP BY customers.id
ORDER BY customers.name;
