-- The expected value of every order, found another way: whole-table aggregates and window functions instead of one
-- correlated subquery an order.
WITH lines AS (
    SELECT i.order_id, i.quantity, p.category, p.name, p.price_cents,
           row_number() OVER (PARTITION BY i.order_id ORDER BY p.price_cents DESC, p.id) AS rank
    FROM order_items i JOIN products p ON p.id = i.product_id
), totals AS (
    SELECT order_id, sum(quantity) AS items, sum(quantity * price_cents) AS total_cents,
           max(name) FILTER (WHERE rank = 1) AS most_expensive
    FROM lines GROUP BY order_id
), categories AS (
    SELECT order_id, array_agg(category ORDER BY category) AS names
    FROM (SELECT DISTINCT order_id, category FROM lines) c GROUP BY order_id
)
SELECT count(*) AS rows,
       count(*) FILTER (WHERE (o.summary->>'items')::bigint IS DISTINCT FROM t.items
                           OR (o.summary->>'total_cents')::bigint IS DISTINCT FROM t.total_cents
                           OR o.summary->>'most_expensive' IS DISTINCT FROM t.most_expensive
                           OR o.summary->'categories' IS DISTINCT FROM to_jsonb(c.names)) AS wrong
FROM orders o
LEFT JOIN totals t ON t.order_id = o.id
LEFT JOIN categories c ON c.order_id = o.id;
