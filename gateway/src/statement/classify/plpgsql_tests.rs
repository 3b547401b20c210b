use super::*;

fn shown(source: &str) -> Vec<String> {
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let piece = |piece: Piece| match piece {
        Piece::Expression(text) => format!("expression {}", squeezed(&text)),
        Piece::Sql(text) => format!("sql {}", squeezed(&text)),
        Piece::Type(text) => format!("type {}", squeezed(&text)),
        Piece::TypeOf(parts) => format!("type of {}", parts.join(".")),
        Piece::Unseen(why) => format!("unseen {why}"),
        Piece::Cursor(text) => format!("cursor {}", squeezed(&text)),
        Piece::Fetches => "fetches".to_owned(),
        Piece::Catches => "catches".to_owned(),
    };
    read(source).expect("it is read").into_iter().map(piece).collect()
}

#[test]
fn every_statement_of_the_language_gives_up_its_sql() {
    let cases: &[(&str, &[&str])] = &[
        ("BEGIN END", &[]),
        ("begin return new; end;", &["expression new"]),
        ("BEGIN NULL; RETURN; END", &[]),
        ("#variable_conflict use_column\nBEGIN PERFORM f(1); END", &["expression f ( 1 )"]),
        (
            "<<outer>> DECLARE x int := g(); BEGIN x := x + 1; END outer",
            &["type int", "expression g ( )", "expression x", "expression x + 1"],
        ),
        ("BEGIN NEW.at = now(); RETURN NEW; END", &["expression NEW . at", "expression now ( )", "expression NEW"]),
        ("BEGIN a[f(1)] := 2; END", &["expression a [ f ( 1 ) ]", "expression 2"]),
        (
            "BEGIN IF a THEN DELETE FROM t; ELSIF b THEN NULL; ELSE UPDATE t SET x = 1; END IF; END",
            &["expression a", "sql DELETE FROM t", "expression b", "sql UPDATE t SET x = 1"],
        ),
        (
            "BEGIN CASE x WHEN 1, 2 THEN NULL; ELSE PERFORM 1; END CASE; END",
            &["expression x", "expression 1 , 2", "expression 1", "expression 1 = 1"],
        ),
        ("BEGIN <<l>> LOOP EXIT l WHEN f(); CONTINUE; END LOOP l; END", &["expression f ( )"]),
        ("BEGIN WHILE a < b LOOP NULL; END LOOP; END", &["expression a < b"]),
        (
            "BEGIN FOR i IN REVERSE 10..f(1) BY 2 LOOP NULL; END LOOP; END",
            &["expression 10", "expression f ( 1 )", "expression 2"],
        ),
        (
            "BEGIN FOR r IN SELECT * FROM t WHERE x IN (1) LOOP PERFORM g(r.x); END LOOP; END",
            &["sql SELECT * FROM t WHERE x IN ( 1 )", "expression g ( r . x )"],
        ),
        (
            "BEGIN FOR r IN EXECUTE 'x' USING 1 LOOP NULL; END LOOP; END",
            &["unseen it runs a query that it puts together (FOR … IN EXECUTE)"],
        ),
        (
            "DECLARE c CURSOR (k int) FOR SELECT * FROM t WHERE id = k; BEGIN FOR r IN c (k := 2) LOOP NULL; END LOOP; OPEN c(3); FETCH NEXT FROM c INTO x; CLOSE c; END",
            &["type int", "cursor SELECT * FROM t WHERE id = k", "expression k = 2", "expression 3", "fetches"],
        ),
        ("DECLARE c NO SCROLL CURSOR IS SELECT 1; BEGIN NULL; END", &["cursor SELECT 1"]),
        (
            "BEGIN OPEN c FOR SELECT * FROM t; MOVE FORWARD 5 FROM c; END",
            &["cursor SELECT * FROM t", "expression 5", "fetches"],
        ),
        (
            "BEGIN FETCH c INTO x; FETCH FROM c INTO x; MOVE IN c; FETCH LAST FROM c INTO x; MOVE BACKWARD ALL IN c; MOVE ALL FROM c; END",
            &["fetches", "fetches", "fetches", "fetches", "fetches", "fetches"],
        ),
        (
            "BEGIN FETCH RELATIVE 1::dd FROM c INTO x; MOVE ABSOLUTE r.wr IN c; FETCH BACKWARD 1 ### 1 FROM c INTO x; MOVE f(1) IN c; END",
            &[
                "expression 1 :: dd",
                "fetches",
                "expression r . wr",
                "fetches",
                "expression 1 ### 1",
                "fetches",
                "expression f ( 1 )",
                "fetches",
            ],
        ),
        ("BEGIN OPEN c FOR EXECUTE q; END", &["unseen it runs a query that it puts together (OPEN … FOR EXECUTE)"]),
        ("BEGIN FOREACH x SLICE 1 IN ARRAY f(y) LOOP NULL; END LOOP; END", &["expression f ( y )"]),
        (
            "BEGIN RETURN QUERY SELECT 1; RETURN QUERY EXECUTE 'x'; RETURN NEXT f(); END",
            &[
                "sql SELECT 1",
                "unseen it runs a query that it puts together (RETURN QUERY EXECUTE)",
                "expression f ( )",
            ],
        ),
        (
            "BEGIN RAISE NOTICE 'x % %', f(1), 2; RAISE EXCEPTION USING ERRCODE = 'x', MESSAGE := g(); RAISE unique_violation; RAISE SQLSTATE '22012'; RAISE; END",
            &["expression f ( 1 ) , 2", "expression ERRCODE = 'x' , MESSAGE = g ( )"],
        ),
        ("BEGIN ASSERT f(), 'no'; END", &["expression f ( ) , 'no'"]),
        ("BEGIN EXECUTE 'DELETE FROM t' INTO x; END", &["unseen it runs a statement that it puts together (EXECUTE)"]),
        ("BEGIN GET DIAGNOSTICS n = ROW_COUNT; GET STACKED DIAGNOSTICS m := MESSAGE_TEXT; END", &[]),
        ("BEGIN COMMIT; ROLLBACK AND CHAIN; END", &["unseen it ends transactions", "unseen it ends transactions"]),
        ("BEGIN SELECT a, b INTO STRICT x.y, z FROM t WHERE a = 1; END", &["sql SELECT a , b FROM t WHERE a = 1"]),
        ("BEGIN INSERT INTO t VALUES (1) RETURNING id INTO x; END", &["sql INSERT INTO t VALUES ( 1 ) RETURNING id"]),
        (
            "BEGIN WITH g AS (DELETE FROM t RETURNING 1) SELECT count(*) INTO n FROM g; END",
            &["sql WITH g AS ( DELETE FROM t RETURNING 1 ) SELECT count ( * ) FROM g"],
        ),
        (
            "BEGIN CALL p(1); DO 'begin end'; SET LOCAL work_mem = 1; END",
            &["sql CALL p ( 1 )", "sql DO 'begin end'", "sql SET LOCAL work_mem = 1"],
        ),
        (
            "BEGIN BEGIN DELETE FROM t; EXCEPTION WHEN unique_violation OR SQLSTATE '22012' THEN INSERT INTO u VALUES (1); END; END",
            &["sql DELETE FROM t", "catches", "sql INSERT INTO u VALUES ( 1 )"],
        ),
        (
            "DECLARE a t%ROWTYPE; b s.t.c%TYPE; c CONSTANT text COLLATE \"C\" NOT NULL DEFAULT 'x'; d ALIAS FOR $1; e varchar(3)[]; BEGIN NULL; END",
            &["type of t", "type of s.t", "type text", "expression 'x'", "type varchar ( 3 ) [ ]"],
        ),
        ("BEGIN -- DELETE FROM t;\n /* ; */ PERFORM 'DELETE; FROM'; END", &["expression 'DELETE; FROM'"]),
    ];
    for (source, expected) in cases {
        assert_eq!(shown(source), *expected, "{source}");
    }
}

#[test]
fn what_is_not_understood_is_an_error() {
    for source in [
        "",
        "SELECT 1",
        "BEGIN",
        "BEGIN IF a THEN NULL; END",
        "BEGIN PERFORM (1; END",
        "BEGIN NULL; END; DROP TABLE t",
        "BEGIN CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; END",
        "BEGIN FOR i IN 1..2 NULL; END LOOP; END",
        "BEGIN 'unfinished; END",
        "DECLARE 1 int; BEGIN END",
    ] {
        assert!(read(source).is_err(), "{source}");
    }
    assert!(
        read(&format!("{}{}", "BEGIN ".repeat(5_000), "END;".repeat(5_000))).is_err_and(|why| why.contains("deeper"))
    );
}
