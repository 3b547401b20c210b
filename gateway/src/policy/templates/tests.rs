use super::*;

fn read(text: &str) -> Result<Template, String> {
    let source =
        Source { file: "reprice.template.toml".into(), name: "reprice.template.toml".into(), text: text.into() };
    Template::read(&source).map_err(|problem| problem.message)
}

const REPRICE: &str = r#"
sql = """
update public.products
   set price = $1, tag = $3
 where id = $2 and kind = 'book'
"""
[parameters.1]
type = "number"
min = 0
max = "99.99"
[parameters.2]
type = "integer"
min = 1
max = 1000000
[parameters.3]
type = "text"
one_of = ["new", "it's old"]
"#;

/// Whether a text without parameters of its own is the template's.
fn is(template: &Template, sql: &str) -> bool {
    tokens(sql).is_some_and(|text| template.is(&text, |_| None))
}

#[test]
fn a_text_is_the_templates_but_for_values_within_their_bounds() {
    let template = read(REPRICE).unwrap();
    assert_eq!(template.name, "reprice");
    let with = |values: [&str; 3]| {
        let [price, tag, id] = values;
        format!("update public.products set price = {price}, tag = {tag} where id = {id} and kind = 'book';")
    };
    let table: &[([&str; 3], bool)] = &[
        (["5", "'new'", "7"], true),
        (["99.99", "'it''s old'", "1000000"], true),
        (["'5.5'", "'new'", "'7'"], true),
        (["0", "'new'", "1"], true),
        // Without.
        (["100", "'new'", "7"], false),
        (["99.991", "'new'", "7"], false),
        (["-0.01", "'new'", "7"], false),
        (["5", "'other'", "7"], false),
        (["5", "'new'", "0"], false),
        (["5", "'new'", "7.0"], false),
        (["5", "'new'", "1000001"], false),
        // Something else in a value's place.
        (["price", "'new'", "7"], false),
        (["5 + 5", "'new'", "7"], false),
        (["(5)", "'new'", "7"], false),
        (["null", "'new'", "7"], false),
        (["default", "'new'", "7"], false),
        (["f(5)", "'new'", "7"], false),
        (["5", "tag", "7"], false),
        (["5", "'new'", "id"], false),
        (["5", "'new'", "7 or true"], false),
        (["5", "'new'", "'7' or true"], false),
        (["' 5'", "'new'", "7"], false),
        (["'5e1'", "'new'", "7"], false),
        (["5", "'new'", "$2"], false),
    ];
    for (values, expected) in table {
        assert_eq!(is(&template, &with(*values)), *expected, "{values:?}");
    }
    for other in [
        "update products set price = 5, tag = 'new' where id = 7 and kind = 'book'",
        "update public.products set price = 5, tag = 'new' where id = 7 and kind = 'cup'",
        "update public.products set price = 5, tag = 'new' where id = 7",
        "update public.products set price = 5, tag = 'new' where id = 7 and kind = 'book' or true",
        "update public.products set price = 5, tag = 'new' where id = 7 and kind = 'book'; drop table products",
        "update public.products set price = 5, tag = 'new' where id = 7 and kind = 'book' -- x",
        "update public.products set price = 5, tag = 'new' where id =- 7 and kind = 'book'",
        "update public.products set price = 5, tag = 'new' where id >= 7 and kind = 'book'",
        "",
    ] {
        assert!(!is(&template, other), "{other}");
    }
}

#[test]
fn bound_parameters_are_looked_at_as_the_values_that_they_are() {
    let template = read(REPRICE).unwrap();
    let sql = "update public.products set price = $1, tag = $3 where id = $2 and kind = 'book'";
    let text = tokens(sql).unwrap();
    let given = |text: &str| Given { text: text.to_owned(), declared: 0 };
    let with = |values: [Option<&str>; 3]| template.is(&text, |number| values[number - 1].map(given).map(Some));
    assert!(with([Some("5"), Some("7"), Some("new")]));
    assert!(!with([Some("100"), Some("7"), Some("new")]));
    assert!(!with([None, Some("7"), Some("new")]), "NULL, or not known whole");
    assert!(!with([Some("5"), Some("7"), Some("7")]));
    // Numbered otherwise, it is another text.
    let other = tokens("update public.products set price = $2, tag = $3 where id = $1 and kind = 'book'").unwrap();
    assert!(!template.is(&other, |number| [Some("5"), Some("7"), Some("new")][number - 1].map(given).map(Some)));
}

#[test]
fn each_type_has_its_bounds() {
    let days = "type = \"date\"\nmin = \"2026-01-01\"\nmax = \"2026-12-31\"";
    let cents = "type = \"number\"\nmin = -1.5\nmax = 1.5";
    let table: &[(&str, &[&str], &[&str])] = &[
        ("type = \"integer\"\nmin = -5\nmax = 5", &["-5", "5", "0", "'-5'"], &["-6", "6", "1.0", "''", "'+1'", "true"]),
        (cents, &["1.5", "-1.5", "1.500000000"], &["1.5000000001", "1.51", "'NaN'", "'Infinity'", "'1.'", "'.5'"]),
        (
            days,
            &["'2026-01-01'", "'2026-12-31'"],
            &["'2027-01-01'", "'2026-1-1'", "'today'", "'2026-02-30'", "20260101"],
        ),
        ("type = \"text\"\nlongest = 3", &["'abc'", "''", "'é''a'"], &["'abcd'", "abc", "1"]),
        ("type = \"boolean\"", &["true", "false", "'t'"], &["True_", "null", "1", "'yes'"]),
        (
            "type = \"uuid\"",
            &["'A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
            &["'a0eebc999c0b4ef8bb6d6bb9bd380a11'", "'g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
        ),
    ];
    for (bound, within, without) in table {
        let template = read(&format!("sql = \"select f($1)\"\n[parameters.1]\n{bound}")).unwrap();
        within.iter().for_each(|value| assert!(is(&template, &format!("select f({value})")), "{bound}: {value}"));
        without.iter().for_each(|value| assert!(!is(&template, &format!("select f({value})")), "{bound}: {value}"));
    }
}

#[test]
fn where_a_parameter_stands_twice_it_is_the_same_twice() {
    let bound = "[parameters.1]\ntype = \"integer\"\nmin = 1\nmax = 9";
    let template = read(&format!("sql = \"select f($1, $1)\"\n{bound}")).unwrap();
    assert!(is(&template, "select f(3, 3)"));
    assert!(!is(&template, "select f(3, 4)"));
}

#[test]
fn a_mistake_is_told() {
    let one = |sql: &str, bounds: &str| format!("sql = \"{sql}\"\n[parameters.1]\n{bounds}");
    let table = [
        ("sqll = \"select 1\"".to_owned(), "unknown field `sqll`"),
        ("sql = \"select 1; select 2\"".to_owned(), "it has 2 statements"),
        ("sql = \"\"".to_owned(), "it has 0 statements"),
        ("sql = \"selec 1\"".to_owned(), "its text is no statement"),
        ("sql = \"select 1 -- one\"".to_owned(), "its text has something that may read differently than it looks"),
        ("sql = \"select $1\"".to_owned(), "$1 has no bounds"),
        (one("select 1", "type = \"uuid\""), "parameters.1 is not in its text"),
        ("sql = \"select $1\"\n[parameters.a]\ntype = \"uuid\"".to_owned(), "there is no parameter \"a\""),
        (one("select $1", "type = \"int\""), "parameters.1: there is no type \"int\""),
        (one("select $1", "type = \"integer\"\nmin = 1"), "parameters.1: a integer wants `min` and `max`"),
        (one("select $1", "type = \"integer\"\nmin = 2\nmax = 1"), "parameters.1: `min` is greater than `max`"),
        (one("select $1", "type = \"integer\"\nmin = 1.5\nmax = 2"), "parameters.1: \"1.5\" is no integer"),
        (one("select $1", "type = \"text\""), "parameters.1: a text wants `one_of`, or `longest`"),
        (one("select $1", "type = \"text\"\nlongest = 5\nmin = 1"), "parameters.1: `min` bounds no text"),
        (one("select $1", "type = \"date\"\nmin = \"2026-1-1\"\nmax = \"2026-01-02\""), "is no date"),
    ];
    for (text, expected) in table {
        let said = read(&text).unwrap_err();
        assert!(said.contains(expected), "{text}: {said}");
    }
    let source = Source { file: "x".into(), name: "Re price.template.toml".into(), text: "sql = \"select 1\"".into() };
    assert!(Template::read(&source).unwrap_err().message.contains("can't be called"));
}

#[test]
fn a_template_does_nothing_for_somebody_who_alone_has_signed() {
    use super::super::Policies;
    use countersign_shared::duties::Human;
    let texts = [
        (
            "10.cedar".to_owned(),
            "permit (principal, action, resource) when { context has sql && context.sql has template && \
             context.sql.template == \"reprice\" };"
                .to_owned(),
        ),
        ("reprice.template.toml".to_owned(), "sql = \"select 1\"".to_owned()),
    ];
    let under = |signed_by: &[&str]| {
        let policies = Policies::of_texts(&texts).unwrap_or_else(|problems| panic!("{problems:?}"));
        Policies { signed_by: signed_by.iter().map(|name| (*name).to_owned()).collect(), ..policies }
    };
    let human = |principal: &str, owner: Option<&str>| Human {
        principal: principal.into(),
        issuer: "https://idp".into(),
        subject: "1".into(),
        owner: owner.map(Into::into),
    };
    let (ana, agent) = (human("Ana@acme.dev", None), human("deploy", Some("ana@acme.dev")));
    let table: &[(&[&str], bool)] = &[
        (&[], true),
        (&["ana@acme.dev"], false),
        (&["ben@acme.dev"], true),
        (&["ana@acme.dev", "ben@acme.dev"], true),
    ];
    for (signed_by, expected) in table {
        for who in [&ana, &agent] {
            let found = under(signed_by).template(who, "select 1;", |_| None);
            assert_eq!(found.is_some(), *expected, "{signed_by:?}, {}", who.principal);
        }
    }
}

#[test]
fn whoever_misspells_a_template_hears_of_it() {
    use super::super::Policies;
    let load = |name: &str, file: &str| {
        let policy = format!(
            "permit (principal, action == Action::\"select\", resource) when {{ context.sql has template && \
             context.sql.template == {name:?} }};"
        );
        let texts = [("10.cedar".to_owned(), policy), (file.to_owned(), "sql = \"select 1\"".to_owned())];
        Policies::of_texts(&texts)
            .map(|policies| policies.warnings().iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(load("reprice", "reprice.template.toml").unwrap(), Vec::<String>::new());
    let told = load("repricing", "reprice.template.toml").unwrap().join("\n");
    assert!(told.contains("there is no template \"repricing\"") && told.contains("no policy speaks of"), "{told}");
    assert!(load("reprice", "Re.template.toml").is_err());
}
