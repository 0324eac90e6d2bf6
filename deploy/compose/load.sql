\set id random(1, 1000000)
UPDATE orders SET amount = amount + 1 WHERE id = :id;
SELECT amount FROM orders WHERE id = :id;
