//! Columns that are classified by their type, and by what the database says of them itself.

use super::POLICY;
use crate::harness::{Story, client::Client};

const CODED: &str = "
create domain secret_code as text;
create domain inner_code as secret_code;
create table coded (id int, code secret_code, deep inner_code, many secret_code[], said text, said_of text);
comment on column coded.said is E'where people are reached\\n Classification: PII\\nasked of them in 2024';
comment on column coded.said_of is 'no classification: of this one';
insert into coded select n, 'zqcanary', 'zqcanary', '{zqcanary}', 'zqcanary@example.com', 'plain' from generate_series(1, 3) n;
create table heir () inherits (coded);
insert into heir select * from only coded where id = 1;
create view seen as select said as address, code::text as c, said_of from coded;
create materialized view kept as select said, code from coded;
create view noted as select said_of as p from coded;";

async fn row(client: &Client, sql: &str) -> Vec<Option<String>> {
    client.runs(sql).ends().await.unwrap_or_else(|refused| panic!("{sql}: {refused:?}")).rows.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn types_and_comments_classify_as_names_do() {
    let story = Story::with_masks_over(POLICY, "", CODED).await;
    let ana = story.logs_in("ana").await;
    let (hidden, email, plain) = (Some("[redacted]"), Some("z***@example.com"), Some("plain"));
    let table: [(&str, &[Option<&str>], &str); 8] = [
        (
            "select code, deep, said, said_of from coded",
            &[hidden, hidden, email, plain],
            "a domain, one over it, a comment",
        ),
        ("select many from coded", &[None], "an array of the domain"),
        ("select many[1] from coded", &[hidden], "an element of it"),
        ("select code, said from heir", &[hidden, email], "a table that inherits"),
        ("select address, c, said_of from seen", &[email, hidden, plain], "a view"),
        ("select said, code from kept", &[hidden, hidden], "a materialized view over several tables"),
        ("select 'zq'::secret_code", &[Some("zq")], "a value that is in no column"),
        ("select upper(said) from coded", &[hidden], "an expression over it"),
    ];
    for (sql, expected, why) in table {
        let found = row(&ana, sql).await;
        assert_eq!(found.iter().map(Option::as_deref).collect::<Vec<_>>(), expected, "{why}: {sql}");
    }
    // What is said later counts as soon as the gateway has seen it.
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute("comment on column noted.p is 'classification: pii'").await.expect("another class");
    while row(&ana, "select said_of from coded").await[0].as_deref() == plain {
        tokio::task::yield_now().await;
    }
    assert_eq!(row(&ana, "select p from noted").await[0].as_deref(), Some("***"), "what a view shows");
}
