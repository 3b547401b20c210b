//! Why somebody runs a statement, where its text says so: `/* reason: INC-42, refunds */ DELETE …`.

/// No longer reason is read, in characters.
const LONGEST: usize = 500;

/// The reason in the comment that a text begins with.
#[must_use]
pub fn reason(sql: &str) -> Option<String> {
    let comment = sql.trim_start().strip_prefix("/*")?;
    let (key, rest) = comment.split_once(':')?;
    if !key.trim().eq_ignore_ascii_case("reason") {
        return None;
    }
    // A comment within it would end elsewhere for the server.
    let (reason, _) = rest.split_once("*/").filter(|(reason, _)| !reason.contains("/*"))?;
    let reason: String = reason.trim().chars().take(LONGEST).collect();
    (!reason.is_empty()).then_some(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_read_from_the_first_comment_alone() {
        let table = [
            ("/* reason: INC-42, refunds */ delete from t", Some("INC-42, refunds")),
            ("\n  /*Reason:x*/select 1", Some("x")),
            ("/* reason: a: b */ select 1", Some("a: b")),
            ("/* reason: two\nlines */ select 1", Some("two\nlines")),
            ("/* reason:  */ select 1", None),
            ("/* reason: never ends", None),
            ("/* reason: a /* b */ c */ select 1", None),
            ("/* the reason: x */ select 1", None),
            ("-- reason: x\nselect 1", None),
            ("select 1 /* reason: x */", None),
            ("/* a */ /* reason: x */ select 1", None),
            ("select '/* reason: x */'", None),
            ("", None),
        ];
        for (sql, expected) in table {
            assert_eq!(reason(sql).as_deref(), expected, "{sql:?}");
        }
        let long = format!("/* reason: {} */ select 1", "é".repeat(10_000));
        assert_eq!(reason(&long).map(|reason| reason.chars().count()), Some(LONGEST));
    }
}
