//! Who sees what, what they are told, and what others are told of it.

use std::fs;

use countersign_shared::request::Choice;

use super::POLICY;
use crate::{
    fidelity::wire::{Wire, bind, copy_done, execute, parse, query, sync},
    harness::{Story, client::Client},
};

/// Ana sees nothing; Priya, who approves, sees what is classified as pii.
const SUPPORT: &str = r#"
permit (principal, action, resource) unless { action == Action::"reveal" };
permit (principal == User::"priya@acme.dev", action == Action::"reveal", resource)
when { resource.classification == "pii" };
"#;

/// Outputs are revealed once somebody agrees; predicates on e-mail addresses to everybody.
const APPROVED: &str = r#"
permit (principal, action, resource) unless { action == Action::"reveal" };
permit (principal, action == Action::"reveal", resource)
when { resource.classification == "pii" && context.approvals.count >= 1 };
permit (principal, action == Action::"reveal", resource == Column::"shop/public.people.email")
when { context.use == "predicate" };
"#;

async fn one(client: &Client, sql: &str) -> Vec<Option<String>> {
    client.runs(sql).ends().await.unwrap_or_else(|refused| panic!("{sql}: {refused:?}")).rows.remove(0)
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mask_gives_what_the_config_says_to_whom_policy_does_not_permit_more() {
    let story = Story::with_masks(SUPPORT, "").await;
    let (ana, priya) = (story.logs_in("ana").await, story.logs_in("priya").await);
    let sql = "select email, ssn, dob, born, salary, token, secret, name from people where id = 1";
    let row = one(&ana, sql).await;
    let token = row[5].clone().expect("a hash");
    let year = (some("1987-01-01"), some("1987-01-01 00:00:00+00"));
    assert_eq!((row[2].clone(), row[3].clone()), year);
    assert_eq!(
        (&row[0], &row[1], &row[4], &row[6], &row[7]),
        (&some("z***@example.com"), &some("****7701"), &None, &some("[redacted]"), &some("name 1"))
    );
    assert!(uuid_like(&token) && !token.starts_with("deadbeef"), "{token}");
    assert_eq!(one(&ana, "select token from people where id = 1").await, [Some(token.clone())], "the same again");
    assert_ne!(one(&ana, "select token from people where id = 2").await, [Some(token)], "of another value");
    assert_eq!(one(&ana, "select email, salary from people where id = 9").await, [None, None], "NULL stays NULL");

    let row = one(&priya, sql).await;
    assert_eq!((&row[0], &row[4], &row[6]), (&some("zqcanary1@example.com"), &None, &some("[redacted]")));
    priya
        .runs("select id from people where email like 'zq%' order by email")
        .ends()
        .await
        .expect("she may choose by it");
    let refused = priya.runs("select id from people order by secret").gets_refused().await;
    assert_eq!(refused.code, "42501");
    assert!(refused.message.contains("public.people.secret (secret)"), "{refused:?}");
    assert!(refused.hint.contains("countersign.reveal"), "{refused:?}");
}

fn uuid_like(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_and_the_record_name_what_is_masked_and_no_value_is_written_down() {
    let story = Story::with_masks(POLICY, "").await;
    let mut wire = Wire::through(&story, "ana", &[]).await;
    let answer = super::Channel::Simple.asks_within(&mut wire, "select email, name from people", false).await;
    let notice = answer.0.iter().find(|frame| frame.tag == b'N').and_then(|frame| frame.field(b'M'));
    assert_eq!(notice.as_deref(), Some("masked: email (public.people.email, pii, email)"));
    let ana = story.logs_in("ana").await;
    ana.executes("update people set email = $1 where id = $2", vec![Box::new("typed@secret.example"), Box::new(2_i32)])
        .ends()
        .await
        .expect("it is written");
    let refused = ana
        .runs("insert into people (id, name, country, email) values (300, 'n', 'DE', 'zqcanary' || '3@example.com')");
    let refused = refused.gets_refused().await;
    assert_eq!((refused.code.as_str(), refused.message.as_str()), ("23505", "a unique constraint is violated"));
    drop((ana, wire));
    let records = story.everything_written();
    let log: String = records
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "jsonl"))
        .map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned())
        .collect();
    let masked = r#""masked":[{"output":"email","columns":["public.people.email"],"as":"pii","mask":"email"}]"#;
    assert!(log.contains(masked), "{log}");
    assert!(log.contains(r#""parameters":["hash:"#), "a parameter that meets a classified column is a hash");
    for (path, bytes) in &records {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains("typed@secret.example"), "{}", path.display());
        assert!(!text.contains("zqcanary3@"), "an error's text is in {}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_approved_is_revealed_once() {
    let story = Story::with_masks(APPROVED, "").await;
    let ana = story.logs_in("ana").await;
    let sql = "select email, ssn, secret from people where email = 'zqcanary1@example.com'";
    let masked = [some("z***@example.com"), some("****7701"), some("[redacted]")];
    assert_eq!(one(&ana, sql).await, masked, "without a wish it is masked");
    ana.runs("set countersign.reveal = 'ticket 7'").ends().await.expect("a setting");
    let sql = "select email, ssn from people where email = 'zqcanary1@example.com'";
    let running = ana.runs(sql);
    let id = ana.is_held().await;
    let card = story.request("priya", &id).await;
    assert_eq!(card.sql, "select email, ssn from people where email = ‹pii #1›", "no clear value on a card");
    let effects = serde_json::to_string(&card).expect("a card");
    assert!(effects.contains("public.people.ssn") && effects.contains("reveal"), "{effects}");
    story.decides("priya", &id, Choice::Approve).await.expect("her approval is taken");
    let answer = running.ends().await.expect("it runs");
    assert_eq!(answer.rows, [[some("zqcanary1@example.com"), some("991-17-7701")]]);
    let again = ana.executes("select email from people where id = $1", vec![Box::new(1_i32)]);
    let second = ana.is_held().await;
    assert_ne!(second, id, "each time anew");
    story.decides("priya", &second, Choice::Deny).await.expect("her no is taken");
    assert_eq!(again.gets_refused().await.code, "42501");
    // What nobody can approve stays masked.
    assert_eq!(one(&ana, "select secret from people where id = 1").await, [some("[redacted]")]);
    ana.runs("reset countersign.reveal").ends().await.expect("a setting");
    assert_eq!(one(&ana, "select ssn from people where id = 1").await, [some("****7701")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observed_connection_masks_too_and_doubt_can_be_refused() {
    let story =
        Story::with_masks("permit (principal, action == Action::\"connect\", resource);", "mode = \"observe\"\n").await;
    let ana = story.logs_in("ana").await;
    assert_eq!(one(&ana, "select email from people where id = 1").await, [some("z***@example.com")]);
    let refused = ana.runs("select id from people where email like 'z%'").gets_refused().await;
    assert_eq!(refused.code, "42501");

    let story = Story::with_masks(POLICY, "on_doubt = \"refuse\"\n").await;
    let ana = story.logs_in("ana").await;
    let sql = "select (c).* from (select email, id from people) c";
    assert_eq!(ana.runs(sql).gets_refused().await.code, "42501", "its columns are not known");
    assert_eq!(one(&ana, "select email from people where id = 1").await, [some("z***@example.com")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_that_code_of_the_database_made_keeps_its_payload_from_others() {
    let story = Story::with_masks(SUPPORT, "").await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    let code = "create function tells() returns trigger language plpgsql as \
                'begin perform pg_notify(''people'', new.email); return new; end';
                create trigger tells after update on people for each row execute function tells();";
    direct.batch_execute(code).await.expect("a trigger");
    let mut wire = Wire::through(&story, "ana", &[]).await;
    super::Channel::Simple.asks_within(&mut wire, "listen people", false).await;
    direct.batch_execute("update people set name = 'x' where id = 1").await.expect("an update elsewhere");
    let mut heard = None;
    while heard.is_none() {
        let answer = super::Channel::Simple.asks_within(&mut wire, "select 1", false).await;
        assert_eq!(super::found(&answer.bytes()), None);
        heard = answer.0.into_iter().find(|frame| frame.tag == b'A');
    }
    assert!(heard.expect("it is told").body.ends_with(b"people\0\0"), "its channel alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_refuses_a_mask_that_does_not_fit_and_warns_of_a_name_that_is_none() {
    let story = Story::with_masks(POLICY, "").await;
    let file = &story.world.facts.config;
    let config = fs::read_to_string(file).expect("the config");
    let check = |config: String| {
        fs::write(file, config).expect("a config");
        async {
            let told = story.tells(&["check"]).await;
            let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (told.status.code(), format!("{}{}", said(&told.stdout), said(&told.stderr)))
        }
    };
    let (code, said) = check(config.clone()).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) =
        check(config.replace(r#"people.salary", as = "pay""#, r#"people.salary", as = "pay", mask = "email""#)).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("does not fit the type of public.people.salary"), "{said}");
    let (code, said) = check(config.replace("public.pointing.mail", "public.pointing.male")).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("warning") && said.contains("public.pointing.male"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn classify_suggests_kinds_with_counts_and_tells_no_value() {
    let story = Story::with_masks(POLICY, "").await;
    let told = story.tells_json(&["classify", "shop", "--json"]).await;
    let found = |column: &str| {
        let all = told.as_array().expect("a list");
        all.iter().find(|one| one["column"] == column).unwrap_or_else(|| panic!("{column}: {told}")).clone()
    };
    let email = found("public.customers.email");
    assert_eq!(
        (&email["kind"], &email["as"], &email["mask"]),
        (&"e-mail address".into(), &"pii".into(), &"email".into())
    );
    assert_eq!((&email["fitting"], &email["sampled"]), (&800.into(), &800.into()));
    assert_eq!(found("public.customers.ssn")["kind"], "national id");
    assert_eq!(found("public.customers.phone")["kind"], "telephone number");
    assert_eq!(found("public.people.email")["classified"], true);
    assert_eq!(super::found(told.to_string().as_bytes()), None);
    let text = story.tells(&["classify", "shop"]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains(r#"{ column = "public.customers.email", as = "pii", mask = "email" },"#), "{text}");
    assert_eq!(story.tells(&["classify", "nowhere"]).await.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_policy_tells_what_leaves_masked_and_why_something_is_refused() {
    let story = Story::with_masks(POLICY, "").await;
    let explain = |sql: &'static str| {
        let story = &story;
        async move { story.tells_json(&["explain-policy", "shop", sql, "--as", "ana@acme.dev", "--json"]).await }
    };
    let told = explain("select lower(email) as x, ssn, name from people_v join people using (id)").await;
    assert_eq!(told["outcome"], "allow", "{told}");
    let outputs = told["masks"]["outputs"].as_array().expect("outputs");
    let names: Vec<&str> = outputs.iter().filter_map(|one| one["output"].as_str()).collect();
    assert_eq!(names, ["x", "ssn"], "{told}");
    assert_eq!(outputs[1]["columns"], serde_json::json!(["public.people.ssn"]));
    let told = explain("select id from people where email = 'x'").await;
    assert_eq!(told["outcome"], "deny", "{told}");
    assert!(told["message"].as_str().is_some_and(|said| said.contains("public.people.email as predicate")), "{told}");
}

/// Writes wait for somebody, and are counted; nobody sees what is classified.
const HELD: &str = r#"
permit (principal, action, resource) unless { action == Action::"reveal" || action in Action::"write" };
permit (principal, action in Action::"write", resource) when { context.approvals.count >= 1 };
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_write_gives_back_masked_rows_and_its_late_errors_quote_nothing() {
    let story = Story::with_masks(HELD, "").await;
    let ana = story.logs_in("ana").await;
    let sql = "update people set name = 'n' where id < 3 returning id, email, name";
    let running = ana.runs(sql);
    let id = ana.is_held().await;
    story.decides("priya", &id, Choice::Approve).await.expect("her approval is taken");
    let rows = running.ends().await.expect("it runs").rows;
    let masked = || some("z***@example.com");
    assert_eq!(rows, [[some("1"), masked(), some("n")], [some("2"), masked(), some("n")]]);

    let pg = std::sync::Arc::clone(&ana.pg);
    let typed = tokio::spawn(async move {
        let sql = "update people set name = $1 where id = 2 returning email, token, name";
        let rows = pg.query(sql, &[&"m"]).await?;
        let row = &rows[0];
        Ok::<_, tokio_postgres::Error>((row.get::<_, String>(0), row.get::<_, String>(2)))
    });
    let id = ana.is_held().await;
    story.decides("priya", &id, Choice::Approve).await.expect("her approval is taken");
    let row = typed.await.expect("no panic").expect("it runs in binary, too");
    assert_eq!(row, ("z***@example.com".to_owned(), "m".to_owned()));

    // The deferred foreign key of another table fails when the gateway commits.
    let running = ana.runs("delete from people where id = 1");
    let id = ana.is_held().await;
    story.decides("priya", &id, Choice::Approve).await.expect("her approval is taken");
    let refused = running.gets_refused().await;
    assert_eq!(refused.code, "23503");
    assert!(!format!("{refused:?}").contains("zqcanary"), "{refused:?}");
    assert_eq!(story.number("select count(*) from people where id = 1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_by_a_binary_copy_can_be_read_as_what_it_is() {
    let story = Story::with_masks(SUPPORT, "").await;
    let mut wire = Wire::through(&story, "ana", &[]).await;
    let columns = "id, email, ssn, dob, born, salary, token, secret, name";
    let copied = super::Channel::BinaryCopy
        .asks_within(&mut wire, &format!("select {columns} from people where id in (1, 9) order by id"), false)
        .await;
    assert_eq!(copied.error(), None);
    let mut direct = Wire::direct(&story.world.upstream, &[]).await;
    let make = format!("create temp table taken as select {columns} from people limit 0");
    let mut out = [query(&make), query("copy taken from stdin (format binary)")].concat();
    for frame in copied.0.iter().filter(|frame| frame.tag == b'd') {
        out.push(b'd');
        out.extend(u32::try_from(frame.body.len() + 4).expect("a short row").to_be_bytes());
        out.extend(&frame.body);
    }
    out.extend(copy_done());
    let looks =
        "select string_agg(concat_ws('|', id, email, ssn, dob, born at time zone 'utc', salary, secret, name), ';'
        order by id) || (select count(distinct token) from taken where token::text not like 'deadbeef%') from taken";
    out.extend(query(looks));
    direct.send(&out).await;
    let (mut ready, mut rows) = (0, Vec::new());
    while ready < 3 {
        let frame = direct.frame().await.expect("the session goes on");
        assert_ne!(frame.tag, b'E', "{:?}", frame.field(b'M'));
        ready += usize::from(frame.tag == b'Z');
        if frame.tag == b'D' {
            rows.push(String::from_utf8_lossy(&frame.body[6..]).into_owned());
        }
    }
    let expected = "1|z***@example.com|****7701|1987-01-01|1987-01-01 00:00:00|[redacted]|name 1;9|nobody known1";
    assert_eq!(rows, [expected], "what the database reads of it; nine has NULLs");
}

/// Everybody may look somebody up by a whole e-mail address, and join by what is hashed.
const COMPARED: &str = r#"
permit (principal, action, resource) unless { action == Action::"reveal" };
permit (principal, action == Action::"reveal", resource == Column::"shop/public.people.email")
when { context.use == "predicate" && context.compare == "constant" };
permit (principal, action == Action::"reveal", resource)
when { resource.classification == "secret" && ["join"].contains(context.compare) };
"#;

#[tokio::test(flavor = "multi_thread")]
async fn equality_with_a_constant_and_joins_can_be_permitted_apart() {
    let story = Story::with_masks(COMPARED, "").await;
    let ana = story.logs_in("ana").await;
    let passes = [
        ("select id, email from people where email = 'zqcanary1@example.com'", "a whole address"),
        ("select id from people where id > 0 and email = 'zqcanary1@example.com'::text", "and more"),
        ("update people set name = name where email = 'zqcanary1@example.com'", "a write of that row"),
        ("select id from people_v where mail = 'zqcanary1@example.com'", "through a view"),
        ("select a.id, b.token from people a join people b on a.token = b.token", "a join of what is hashed"),
        ("select count(*) from people a join people b using (token)", "USING"),
        ("select 1 from people a, people b where a.secret = b.secret and a.email = 'x'", "both"),
    ];
    for (sql, why) in passes {
        ana.runs(sql).ends().await.unwrap_or_else(|refused| panic!("{why}: {sql}: {refused:?}"));
    }
    let refused = [
        ("select id from people where email like 'zq%'", "a part of it"),
        ("select id from people where email in ('a', 'zqcanary1@example.com')", "a list"),
        ("select id from people where email = any ('{a,b}')", "an array"),
        ("select id from people where email > 'zq'", "an order"),
        ("select id from people where email = 'zqcanary1@example.com' or id = 1", "OR"),
        ("select id from people where not email = 'zqcanary1@example.com'", "NOT"),
        ("select id from people where lower(email) = 'zqcanary1@example.com'", "an expression over it"),
        ("select id from people where email = 'a' order by email", "and an order"),
        ("select id from people where email = name", "another column"),
        (
            "select id from people where token = 'deadbeef-0000-0000-0000-000000000001'",
            "a constant, where joins are permitted",
        ),
        ("select p.id from people p join goods g on g.label = p.secret", "a join with what anybody may fill"),
        ("select p.id from people p join (values ('a'), ('b')) v (k) on v.k = p.secret", "a list of guesses"),
        ("select a.id from people a join people b on a.token > b.token", "another comparison"),
    ];
    for (sql, why) in refused {
        assert_eq!(ana.runs(sql).gets_refused().await.code, "42501", "{why}: {sql}");
    }
    let told = ana.runs("select id from people where secret = 'x'").gets_refused().await;
    assert_eq!(told.message, "this statement looks rows up by public.people.secret (secret), which you may not see");
    assert!(told.detail.contains("use \"predicate\" and compare \"constant\""), "{told:?}");
}

/// A portal that the gateway takes for one of its own, and the server for SQL's cursor.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_does_not_come_under_the_name_of_a_portal() {
    let story = Story::with_masks(POLICY, "").await;
    let binds = || [parse("", "select 'x'::text"), bind("pp", "", &[], 0), sync()].concat();
    let declares = || query("declare pp cursor for select email from people");
    let opens = || query("do $$ declare c refcursor := 'pp'; begin open c for select email from people; end $$");
    let ways: [(&str, Vec<Vec<u8>>); 3] = [
        ("it went with a savepoint", vec![query("savepoint s"), binds(), query("rollback to s"), declares()]),
        ("its Bind failed", vec![declares(), query("savepoint s"), binds(), query("rollback to s")]),
        ("code opens it", vec![query("savepoint s"), binds(), query("rollback to s"), opens()]),
    ];
    for (why, steps) in ways {
        let mut wire = Wire::through(&story, "ana", &[]).await;
        let mut groups = vec![query("begin")];
        groups.extend(steps);
        groups.push([execute("pp", 0), sync()].concat());
        for out in groups {
            wire.send(&out).await;
            loop {
                let Some(frame) = wire.frame().await else { break };
                let planted = super::found(&frame.body);
                assert_eq!(planted, None, "{why}");
                if frame.tag == b'Z' {
                    break;
                }
            }
        }
    }
}

/// Code of the database reads a cursor's rows as they are.
#[tokio::test(flavor = "multi_thread")]
async fn no_code_fetches_from_a_cursor_or_a_portal_that_is_masked() {
    let story = Story::with_masks(POLICY, "").await;
    let fetches = |name: &str| {
        format!(
            "do $$ declare c refcursor := '{name}'; r record; begin
             loop fetch c into r; exit when not found; raise notice '%', r; end loop; end $$"
        )
    };
    let declares = |hold: &str| query(&format!("declare c cursor {hold} for select id, email from people"));
    let rows = "select id, email from people";
    let within = |name: &str| {
        let block = fetches(name);
        [
            parse("", rows),
            bind(name, "", &[], 0),
            execute(name, 1),
            parse("d", &block),
            bind("other", "d", &[], 0),
            execute("other", 0),
            sync(),
        ]
        .concat()
    };
    let ways: [(&str, Vec<Vec<u8>>); 5] = [
        ("one that outlives its transaction", vec![declares("with hold"), query(&fetches("c"))]),
        ("one within it", vec![query("begin"), declares(""), query(&fetches("c"))]),
        ("declared in the same text", vec![query(&format!("declare c cursor with hold for {rows}; {}", fetches("c")))]),
        ("the unnamed portal", vec![within("")]),
        ("a portal with a name", vec![within("pp")]),
    ];
    for (why, groups) in ways {
        let mut wire = Wire::through(&story, "ana", &[]).await;
        let mut refused = false;
        for out in groups {
            wire.send(&out).await;
            loop {
                let frame = wire.frame().await.unwrap_or_else(|| panic!("{why}: the session goes on"));
                assert_eq!(super::found(&frame.body), None, "{why}");
                assert_eq!(frame.held(), None, "{why}");
                refused |= frame.tag == b'E';
                if frame.tag == b'Z' {
                    break;
                }
            }
        }
        assert!(refused, "{why}");
    }
}

/// A portal's rows are those of the plan that it was bound with.
#[tokio::test(flavor = "multi_thread")]
async fn a_portal_leaves_masked_to_its_end_whatever_becomes_of_its_view() {
    let makes = "permit (principal, action in Action::\"ddl\", resource);";
    let story = Story::with_masks(&format!("{POLICY}\n{makes}"), "").await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct
        .batch_execute("create view shown as select id::bigint as id, email::text as email from people")
        .await
        .expect("a view");
    let mut wire = Wire::through(&story, "ana", &[]).await;
    let first = [parse("", "select email || '' from shown"), bind("pp", "", &[], 0), execute("pp", 1), sync()].concat();
    let replaces = "create or replace view shown as select 1::bigint as id, 'x'::text as email";
    let mut told = Vec::new();
    for out in [query("begin"), first, query(replaces), [execute("pp", 0), sync()].concat()] {
        wire.send(&out).await;
        loop {
            let frame = wire.frame().await.expect("the session goes on");
            assert_eq!(super::found(&frame.body), None);
            if frame.tag == b'E' {
                told.push(frame.field(b'M').unwrap_or_default());
            }
            if frame.tag == b'Z' {
                break;
            }
        }
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("was changed since it was bound"), "{told:?}");
}

/// Whether an expression is NULL tells whatever it asks.
#[tokio::test(flavor = "multi_thread")]
async fn of_an_expression_nobody_learns_whether_it_is_null() {
    let story = Story::with_masks(SUPPORT, "").await;
    let ana = story.logs_in("ana").await;
    let asks = "nullif(left(email, 1), 'z'), case when email like 'zq%' then 'yes' end, substring(email from '^zq'), \
                nullif(length(email), 3)";
    for from in
        ["people where id = 1", "people where id = 9", "(select * from people where id in (1, 9)) q where id = 1"]
    {
        let row = one(&ana, &format!("select {asks} from {from}")).await;
        let hidden = some("[redacted]");
        assert_eq!(row, [hidden.clone(), hidden.clone(), hidden, None], "{from}");
    }
    assert_eq!(one(&ana, "select email from people where id = 9").await, [None], "of a column itself, they do");
}
