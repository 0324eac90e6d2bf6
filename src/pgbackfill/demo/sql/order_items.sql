CREATE TABLE order_items (
    order_id   bigint NOT NULL,
    line       int NOT NULL,
    product_id int NOT NULL,
    quantity   int NOT NULL
);
INSERT INTO order_items
SELECT id, line, 1 + (id * 17 + line * 2633) % 20000, 1 + (id + line) % 4
FROM generate_series(1, $rows) id, generate_series(1, 1 + (id * 7 % 9)::int) line;
