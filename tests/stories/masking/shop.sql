-- A table with planted values in its classified columns, and everything that leads to it.
CREATE TABLE people (
    id      int PRIMARY KEY,
    name    text NOT NULL,
    country text NOT NULL,
    email   text UNIQUE CHECK (email <> 'nobody'),
    ssn     varchar(20),
    dob     date,
    born    timestamptz,
    salary  int CHECK (salary > 0),
    token   uuid,
    profile jsonb,
    tags    text[],
    secret  text,
    low     text GENERATED ALWAYS AS (lower(email)) STORED
);
INSERT INTO people (id, name, country, email, ssn, dob, born, salary, token, profile, tags, secret)
SELECT n, 'name ' || n, CASE n % 2 WHEN 0 THEN 'DE' ELSE 'FR' END,
       'zqcanary' || n || '@example.com', '991-17-770' || n, date '1987-06-13', timestamptz '1987-06-13 11:22:33+00',
       918273645, ('deadbeef-0000-4000-8000-00000000000' || n)::uuid,
       jsonb_build_object('k', 'zqcanary' || n), ARRAY['zqcanary' || n, 'b'], 'zqcanary secret ' || n
FROM generate_series(1, 5) n;
INSERT INTO people (id, name, country) VALUES (9, 'nobody known', 'DE');

CREATE TABLE goods (id int PRIMARY KEY, label text UNIQUE, price numeric, made date, data jsonb, person_id int);
INSERT INTO goods SELECT n, 'good ' || n, n * 1.5, date '2020-01-01' + n, jsonb_build_object('n', n), n FROM generate_series(1, 5) n;

CREATE TABLE logins (at date NOT NULL, email text, ip inet) PARTITION BY RANGE (at);
CREATE TABLE logins_2024 PARTITION OF logins FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO logins VALUES ('2024-02-03', 'zqcanary7@example.com', '10.0.0.7');
CREATE TABLE base (id int, secret text);
CREATE TABLE derived (more text) INHERITS (base);
INSERT INTO derived VALUES (1, 'zqcanary base', 'more');

CREATE VIEW people_v AS SELECT id, name, email AS mail, upper(ssn) AS big, country FROM people WHERE secret IS NOT NULL;
CREATE VIEW people_vv AS SELECT v.mail, g.label FROM people_v v JOIN goods g ON g.person_id = v.id;
CREATE VIEW people_grouped AS SELECT country, max(email) AS one, count(*) AS n FROM people GROUP BY country;
CREATE MATERIALIZED VIEW people_m AS SELECT id, email, name FROM people;
CREATE TYPE pair AS (a text, b text);
CREATE DOMAIN address AS text CHECK (VALUE <> '');
CREATE TABLE contacts (id int, mail address, both_of pair, mood "char");
INSERT INTO contacts VALUES (1, 'zqcanary8@example.com', ROW('zqcanary', 'b'), 'z');

CREATE FUNCTION mail_of(n int) RETURNS text LANGUAGE sql STABLE AS 'SELECT email FROM people WHERE id = n';
CREATE FUNCTION mails() RETURNS SETOF text LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT email FROM people; END';
CREATE FUNCTION dynamic(q text) RETURNS text LANGUAGE plpgsql AS 'DECLARE r text; BEGIN EXECUTE q INTO r; RETURN r; END';
CREATE FUNCTION shout(v text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''%'', v; RETURN v; END';
CREATE FUNCTION fails(v text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''%'', v; END';
CREATE FUNCTION immutable_lie() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT email::int FROM people LIMIT 1';
CREATE FUNCTION opens() RETURNS refcursor LANGUAGE plpgsql AS 'DECLARE c refcursor := ''opened''; BEGIN OPEN c FOR SELECT email FROM people; RETURN c; END';
CREATE PROCEDURE tell() LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''%'', (SELECT max(email) FROM people); END';
CREATE FUNCTION plain(n int) RETURNS int LANGUAGE sql STABLE AS 'SELECT n + 1';
CREATE FUNCTION label_of(n int) RETURNS text LANGUAGE sql STABLE AS 'SELECT label FROM goods WHERE id = n';
CREATE FUNCTION op_shout(a text, b text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''% %'', a, b; RETURN true; END';
CREATE OPERATOR <~> (LEFTARG = text, RIGHTARG = text, FUNCTION = op_shout);
CREATE TABLE touched (id int, note text);
INSERT INTO touched VALUES (1, 'x');
CREATE FUNCTION on_touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''%'', (SELECT max(email) FROM people); RETURN new; END';
CREATE TRIGGER t BEFORE UPDATE ON touched FOR EACH ROW EXECUTE FUNCTION on_touched();
CREATE TABLE ruled (id int);
CREATE RULE r AS ON INSERT TO ruled DO ALSO SELECT email FROM people;
CREATE TABLE pointing (mail text REFERENCES people (email) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO pointing SELECT email FROM people WHERE id = 1;
CREATE TABLE stamped (id int, note text, at timestamptz, secret text);
INSERT INTO stamped VALUES (1, 'x', NULL, 'zqcanary stamped');
CREATE FUNCTION stamps() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.at := now(); RETURN NEW; END';
CREATE TRIGGER t BEFORE UPDATE ON stamped FOR EACH ROW EXECUTE FUNCTION stamps();
CREATE TABLE copying (id int, note text, secret text);
INSERT INTO copying VALUES (1, 'x', 'zqcanary copying');
CREATE FUNCTION copies() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := NEW.secret; RETURN NEW; END';
CREATE TRIGGER t BEFORE UPDATE ON copying FOR EACH ROW EXECUTE FUNCTION copies();
CREATE TABLE logging (id int, note text, secret text);
INSERT INTO logging VALUES (1, 'x', 'zqcanary logging');
CREATE TABLE logged (what text);
CREATE FUNCTION logs() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO logged VALUES (OLD.note); RETURN NEW; END';
CREATE TRIGGER t AFTER UPDATE ON logging FOR EACH ROW EXECUTE FUNCTION logs();
CREATE SEQUENCE counting;
CREATE STATISTICS people_stats (mcv) ON country, email FROM people;
ANALYZE;
