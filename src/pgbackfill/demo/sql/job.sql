INSERT INTO pgbackfill.jobs (name, table_name, set_clause, from_clause, where_clause, options)
VALUES (
    'orders-summary',
    'public.orders',
    'summary = s.summary',
    $$LATERAL (
        SELECT jsonb_build_object(
            'items', sum(i.quantity),
            'total_cents', sum(i.quantity * p.price_cents),
            'categories', jsonb_agg(DISTINCT p.category ORDER BY p.category),
            'most_expensive', (array_agg(p.name ORDER BY p.price_cents DESC, p.id))[1]
        ) AS summary
        FROM order_items i JOIN products p ON p.id = i.product_id
        WHERE i.order_id = chunk.id
    ) s$$,
    't.summary IS NULL',
    $1
);
