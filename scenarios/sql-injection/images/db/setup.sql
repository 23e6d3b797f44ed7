CREATE TABLE orders (id int PRIMARY KEY, item text, price int);

INSERT INTO orders SELECT n, 'item ' || n, n * 7 % 100 FROM generate_series(1, 300) AS n;

CREATE TABLE customers (id int PRIMARY KEY, mail text, card text);

INSERT INTO customers SELECT n, 'c' || n || '@made-up.example', 'made-up-' || n FROM generate_series(1, 200) AS n;
