create role shop login password 'shop';
create database shop owner shop;
\connect shop
set role shop;
create table stock(id serial primary key, name text, price numeric, left_over int default 100000);
create table orders(id serial primary key, clerk int, item int references stock(id), amount int, at timestamptz default now());
insert into stock(name, price)
    select (array['chair', 'lamp', 'desk', 'shelf', 'rug'])[1 + n % 5] || ' ' || n, 5 + n % 90 from generate_series(1, 500) n;
