-- A shop: each order has one to nine items. Everything follows from the numbers, so that every run is alike.
CREATE TABLE products (
    id          int PRIMARY KEY,
    name        text NOT NULL,
    category    text NOT NULL,
    price_cents int NOT NULL
);
INSERT INTO products
SELECT id, 'Product ' || id, (ARRAY['books', 'garden', 'kitchen', 'music', 'sports', 'toys'])[1 + id % 6],
       100 + (id * 7919) % 20000
FROM generate_series(1, 20000) id;

CREATE TABLE orders (
    id          bigint NOT NULL,
    customer_id int NOT NULL,
    status      text NOT NULL,
    visits      int NOT NULL DEFAULT 0,
    ordered_at  timestamptz NOT NULL
);
INSERT INTO orders (id, customer_id, status, ordered_at)
SELECT id, 1 + (id * 31) % 50000, 'shipped', timestamptz '2024-01-01 00:00+00' + id * interval '37 seconds'
FROM generate_series(1, $rows) id;
