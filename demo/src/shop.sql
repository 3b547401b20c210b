-- A small shop: enough to be worth a look, the same rows every time.
SELECT setseed(0.42);

CREATE TABLE customers (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    email      text NOT NULL UNIQUE,
    phone      text NOT NULL,
    ssn        text NOT NULL,
    country    text NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE products (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku         text NOT NULL UNIQUE,
    name        text NOT NULL,
    price_cents integer NOT NULL CHECK (price_cents >= 0),
    stock       integer NOT NULL CHECK (stock >= 0)
);

CREATE TABLE orders (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers (id),
    status      text NOT NULL CHECK (status IN ('pending', 'paid', 'shipped', 'delivered', 'cancelled')),
    note        text,
    created_at  timestamptz NOT NULL
);
CREATE INDEX orders_customer_id ON orders (customer_id);
CREATE INDEX orders_status_created_at ON orders (status, created_at);

CREATE TABLE order_items (
    order_id    bigint NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    product_id  bigint NOT NULL REFERENCES products (id),
    quantity    integer NOT NULL CHECK (quantity > 0),
    price_cents integer NOT NULL,
    PRIMARY KEY (order_id, product_id)
);

CREATE TABLE refunds (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id     bigint NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    amount_cents integer NOT NULL CHECK (amount_cents > 0),
    reason       text NOT NULL,
    created_at   timestamptz NOT NULL
);

CREATE VIEW order_totals AS
    SELECT o.id, o.customer_id, c.email, o.status, o.created_at,
           sum(i.quantity * i.price_cents) AS total_cents
    FROM orders o
    JOIN customers c ON c.id = o.customer_id
    JOIN order_items i ON i.order_id = o.id
    GROUP BY o.id, c.email;

INSERT INTO customers (name, email, phone, ssn, country, created_at)
SELECT first || ' ' || last,
       lower(first) || '.' || lower(last) || n || '@example.com',
       '+1-555-' || lpad(((n * 7919) % 10000000)::text, 7, '0'),
       lpad(((n * 37) % 899 + 1)::text, 3, '0') || '-' || lpad((n % 99 + 1)::text, 2, '0') || '-' || lpad(n::text, 4, '0'),
       (ARRAY['DE', 'ES', 'FR', 'IN', 'IT', 'US'])[1 + floor(random() * 6)],
       timestamptz '2024-01-01 08:00+00' + n * interval '7 hours'
FROM generate_series(1, 800) AS n,
     LATERAL (SELECT (ARRAY['Mia', 'Noah', 'Lena', 'Omar', 'Ines', 'Ravi', 'Yuki', 'Tom'])[1 + n % 8] AS first,
                     (ARRAY['Berg', 'Costa', 'Dubois', 'Evans', 'Fischer', 'Gupta', 'Haas'])[1 + n % 7] AS last) AS names
ORDER BY n;

INSERT INTO products (sku, name, price_cents, stock)
SELECT 'SKU-' || lpad(n::text, 4, '0'),
       (ARRAY['Oak', 'Steel', 'Linen', 'Glass', 'Cork'])[1 + n % 5] || ' '
           || (ARRAY['Chair', 'Lamp', 'Table', 'Shelf', 'Bowl', 'Rug', 'Clock', 'Vase'])[1 + n % 8],
       500 + (n * 1373) % 30000,
       floor(random() * 200)::int
FROM generate_series(1, 120) AS n
ORDER BY n;

INSERT INTO orders (customer_id, status, created_at)
SELECT 1 + floor(random() * 800)::int,
       (ARRAY['pending', 'paid', 'paid', 'shipped', 'delivered', 'delivered', 'delivered', 'cancelled'])[1 + floor(random() * 8)],
       timestamptz '2025-01-01 06:00+00' + n * interval '3 hours'
FROM generate_series(1, 2400) AS n
ORDER BY n;

INSERT INTO order_items (order_id, product_id, quantity, price_cents)
SELECT o.id, p.id, 1 + (o.id + line) % 3, p.price_cents
FROM orders o
CROSS JOIN generate_series(0, 2) AS line
JOIN products p ON p.id = 1 + (o.id * 13 + line * 41) % 120
WHERE line <= o.id % 3;

INSERT INTO refunds (order_id, amount_cents, reason, created_at)
SELECT id, 500 + (id * 317)::int % 9000,
       (ARRAY['damaged', 'late', 'wrong item', 'changed mind'])[1 + id % 4],
       created_at + interval '9 days'
FROM orders
WHERE status = 'cancelled';

ANALYZE;
