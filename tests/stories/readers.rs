//! Whom policy permits nothing but reading: the session itself is read only.

use std::time::Duration;

use tokio::time::{interval, timeout};

use crate::harness::{PATIENCE, Story};

const READER: &str = r#"
permit (principal in Group::"audit", action in [Action::"connect", Action::"read"], resource in Connection::"shop");
"#;
const WRITER: &str = r#"
permit (principal in Group::"audit", action in [Action::"connect", Action::"read", Action::"write"], resource in Connection::"shop");
"#;

/// Every way to ask for READ WRITE, and to bring settings back.
const SPELLINGS: &[&str] = &[
    "begin read write",
    "start transaction isolation level serializable, read write",
    "set transaction read write",
    "set session characteristics as transaction read write",
    "set transaction_read_only = off",
    "set local transaction_read_only to 'f'",
    "SET \"default_transaction_read_only\" TO false",
    "set session default_transaction_read_only = 0",
    "set default_transaction_read_only to default",
    "reset default_transaction_read_only",
    "reset transaction_read_only",
    "select set_config('transaction_read_only', 'off', true)",
    "select pg_catalog.set_config('default_transaction_' || 'read_only', 'off', false)",
    "select 1; set default_transaction_read_only = off; select 2",
    "do $$ begin set default_transaction_read_only = off; end $$",
    "do $$ begin perform set_config('default_transaction_read_only', 'off', false); end $$",
    "select query_to_xml('select set_config(''default_transaction_read_only'', ''off'', false)', true, true, '')",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_readers_session_is_read_only_and_nothing_makes_it_read_write() {
    let story = Story::begin_under(READER).await;
    let sam = story.logs_in("sam").await;
    let shown = async |setting: &'static str| {
        sam.runs(&format!("show {setting}")).ends().await.expect("it is shown").rows[0][0].clone().expect("a value")
    };
    assert_eq!(shown("default_transaction_read_only").await, "on");
    for spelling in SPELLINGS {
        let refused = sam.runs(spelling).gets_refused().await;
        assert_eq!(refused.code, "42501", "{spelling}: {refused:?}");
        let refused = sam.executes(spelling, vec![]).ends().await;
        assert!(refused.is_err(), "{spelling}, in the extended protocol");
        assert_eq!(shown("transaction_read_only").await, "on", "{spelling}");
        sam.runs("rollback").ends().await.expect("it always passes");
    }
    // What brings settings back brings the wall back with them; pools do it between two users.
    for harmless in ["reset all", "discard all", "begin read only; rollback", "set default_transaction_read_only = on"]
    {
        sam.runs(harmless).ends().await.unwrap_or_else(|refused| panic!("{harmless}: {refused:?}"));
        assert_eq!(shown("default_transaction_read_only").await, "on", "{harmless}");
    }
    let ana = story.logs_in("ana").await;
    let open = ana.runs("show default_transaction_read_only").ends().await.expect("it is shown");
    assert_eq!(open.rows[0][0].as_deref(), Some("off"), "who may write with approvals is not walled in");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_said_beside_it_hides_that_the_wall_would_come_down() {
    let story = Story::begin_under(READER).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    let make =
        |number| format!("create function h{number}(a int) returns int language plpgsql as $$ begin return a; end $$;");
    direct.batch_execute(&(0..55).map(make).collect::<String>()).await.expect("functions");
    let fields: Vec<String> = (0..55).map(|number| format!("(r).h{number}")).collect();
    let within = |does: &str| {
        let fields = fields.join(", ");
        format!("do $$ declare r record; begin if false then perform {fields}; end if; {does}; end $$")
    };
    let sam = story.logs_in("sam").await;
    sam.runs(&within("perform 1")).ends().await.expect("that alone does nothing");
    for does in ["set default_transaction_read_only = off", "reset default_transaction_read_only"] {
        let refused = sam.runs(&within(does)).gets_refused().await;
        assert_eq!(refused.code, "42501", "{does}: {refused:?}");
        assert!(refused.message.contains("read only"), "{does}: {refused:?}");
        let shown = sam.runs("show default_transaction_read_only").ends().await.expect("it is shown");
        assert_eq!(shown.rows[0][0].as_deref(), Some("on"), "{does}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wall_follows_policy_while_the_session_lives() {
    let story = Story::begin_under(READER).await;
    let sam = story.logs_in("sam").await;
    let policy = story.world.facts.policy.join("90-story.cedar");
    let update = "update products set stock = stock where id = 1";
    let until = async |text: &str, passes: bool| {
        std::fs::write(&policy, text).expect("a changed policy");
        let mut tries = interval(Duration::from_millis(50));
        let follows = async {
            while sam.runs(update).ends().await.is_ok() != passes {
                tries.tick().await;
            }
        };
        timeout(PATIENCE, follows).await.expect("the policy is put in force");
    };
    until(WRITER, true).await;
    let now = sam.runs("show default_transaction_read_only").ends().await.expect("it is shown");
    assert_eq!(now.rows[0][0].as_deref(), Some("off"), "the wall is down");
    until(READER, false).await;
    let now = sam.runs("show default_transaction_read_only").ends().await.expect("it is shown");
    assert_eq!(now.rows[0][0].as_deref(), Some("on"), "and up again");
    sam.runs("set default_transaction_read_only = off").gets_refused().await;
}
