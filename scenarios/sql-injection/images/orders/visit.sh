#!/bin/sh
# Customers: one order after the other, for ever.
n=1
while sleep 0.8; do
    n=$(((n * 7 + 5) % 310))
    curl -sk -o /dev/null "https://orders/order?id=$n"
done
