-- What the application's own migration does: add the column, empty. Filling it is the job.
ALTER TABLE order_items ADD FOREIGN KEY (order_id) REFERENCES orders;
ALTER TABLE order_items ADD FOREIGN KEY (product_id) REFERENCES products;
ALTER TABLE orders ADD COLUMN summary jsonb;
