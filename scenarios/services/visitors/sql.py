"""Clerks and reports at a PostgreSQL database: orders, stock, searches, and now and then a query that is wrong."""

import psycopg2
import visitors

WORDS = ["chair", "lamp", "desk", "shelf", "rug"]


def make(rng, number):
    connection = psycopg2.connect(host="db", dbname="shop", user="shop", password="shop", connect_timeout=5)
    connection.autocommit = True

    def deed():
        dice = rng.random()
        with connection.cursor() as cursor:
            if dice < 0.35:
                cursor.execute("select * from stock where name like %s order by price limit 20", (f"%{rng.choice(WORDS)}%",))
                return f"search {min(len(cursor.fetchall()), 1)}"
            if dice < 0.65:
                item, amount = rng.randrange(1, 500), rng.randrange(1, 4)
                cursor.execute("insert into orders(clerk, item, amount) values (%s, %s, %s)", (number, item, amount))
                cursor.execute("update stock set left_over = left_over - %s where id = %s", (amount, item))
                return "order"
            if dice < 0.9:
                cursor.execute("select item, sum(amount) from orders group by item order by 2 desc limit 10")
                cursor.fetchall()
                return "report"
            if dice < 0.96:
                cursor.execute("create temporary table if not exists basket(item int); insert into basket values (1)")
                return "basket"
            try:
                cursor.execute("select nosuch from stock")
            except psycopg2.Error:
                return "refused"
            return "unexpected"

    return deed


visitors.run(make)
