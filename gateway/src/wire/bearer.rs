//! SASL OAUTHBEARER, the server's side (RFC 7628; PostgreSQL manual, "SASL Authentication").

use super::{Fields, Violation};

/// The mechanism's name.
pub const MECHANISM: &str = "OAUTHBEARER";
/// What stands between pairs.
const SEPARATOR: u8 = 0x01;

/// What a client says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A token.
    Token(String),
    /// It has none, and asks where to get one.
    Asks,
}

/// AuthenticationSASL: the one mechanism that is offered.
#[must_use]
pub fn offer() -> Vec<u8> {
    authentication(10, &[MECHANISM.as_bytes(), b"\0\0"].concat())
}

/// AuthenticationSASLContinue: why not, and where tokens are had (RFC 7628 §3.2.2). `configuration` is
/// the address of a discovery document.
#[must_use]
pub fn refuse(configuration: &str, scope: &str) -> Vec<u8> {
    let why = serde_json::json!({ "status": "invalid_token", "openid-configuration": configuration, "scope": scope });
    authentication(11, why.to_string().as_bytes())
}

fn authentication(kind: u32, data: &[u8]) -> Vec<u8> {
    let size = u32::try_from(8 + data.len()).unwrap_or(u32::MAX);
    [b"R".as_slice(), &size.to_be_bytes(), &kind.to_be_bytes(), data].concat()
}

/// Reads the body of a SASLInitialResponse.
///
/// # Errors
/// Another mechanism, channel binding, somebody else's name, or anything that is not RFC 7628 §3.1.
pub fn first(body: &[u8]) -> Result<Said, Violation> {
    let mut fields = Fields::of(body);
    if fields.text()? != MECHANISM {
        return Err(Violation::new("the client chose a mechanism that was not offered"));
    }
    let length =
        usize::try_from(fields.i32()?).map_err(|_| Violation::new("OAUTHBEARER begins with the client's word"))?;
    let data = fields.take(length)?;
    fields.end()?;
    let data = std::str::from_utf8(data).map_err(|_| Violation::new("the client's word is not text"))?;
    let rest = data.strip_prefix("n,,").or_else(|| data.strip_prefix("y,,"));
    let pairs = rest
        .ok_or_else(|| Violation::new("OAUTHBEARER binds no channel and takes no other name"))?
        .strip_prefix(char::from(SEPARATOR))
        .and_then(|pairs| pairs.strip_suffix(char::from(SEPARATOR)))
        .ok_or_else(|| Violation::new("the client's word is cut"))?;
    let mut auth = None;
    for pair in pairs.split_terminator(char::from(SEPARATOR)) {
        let (key, value) = pair.split_once('=').ok_or_else(|| Violation::new("a pair has no value"))?;
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(Violation::new("a key is not of letters"));
        }
        if key == "auth" && auth.replace(value).is_some() {
            return Err(Violation::new("auth comes twice"));
        }
    }
    match auth {
        None => Err(Violation::new("there is no auth")),
        Some("") => Ok(Said::Asks),
        // The scheme is of any case (RFC 9110 §11.1), and a space follows it (RFC 6750 §2.1).
        Some(value) => match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim_start().is_empty() => {
                Ok(Said::Token(token.trim_start().to_owned()))
            }
            _ => Err(Violation::new("auth is no bearer token")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(mechanism: &str, data: &str) -> Vec<u8> {
        let length = i32::try_from(data.len()).unwrap().to_be_bytes();
        [mechanism.as_bytes(), b"\0", &length, data.as_bytes()].concat()
    }

    #[test]
    fn a_token_is_had_from_what_the_standard_says_and_nothing_else() {
        let token = || Some(Said::Token("a.b.c".to_owned()));
        let table: [(&str, &str, Option<Said>); 15] = [
            ("as libpq says it", "n,,\u{1}auth=Bearer a.b.c\u{1}\u{1}", token()),
            ("the client could bind a channel", "y,,\u{1}auth=Bearer a.b.c\u{1}\u{1}", token()),
            ("a scheme of any case", "n,,\u{1}auth=bEARER  a.b.c\u{1}\u{1}", token()),
            ("beside other pairs", "n,,\u{1}host=db\u{1}auth=Bearer a.b.c\u{1}port=5432\u{1}\u{1}", token()),
            ("it has none yet", "n,,\u{1}auth=\u{1}\u{1}", Some(Said::Asks)),
            ("a bound channel", "p=tls-exporter,,\u{1}auth=Bearer a.b.c\u{1}\u{1}", None),
            ("another name", "n,a=olu@acme.dev,\u{1}auth=Bearer a.b.c\u{1}\u{1}", None),
            ("twice", "n,,\u{1}auth=Bearer a\u{1}auth=Bearer b\u{1}\u{1}", None),
            ("no auth", "n,,\u{1}host=db\u{1}\u{1}", None),
            ("another scheme", "n,,\u{1}auth=Basic YTpi\u{1}\u{1}", None),
            ("no token", "n,,\u{1}auth=Bearer \u{1}\u{1}", None),
            ("cut", "n,,\u{1}auth=Bearer a.b.c", None),
            ("no pairs at all", "n,,", None),
            ("a key of other signs", "n,,\u{1}a-b=c\u{1}auth=Bearer a.b.c\u{1}\u{1}", None),
            ("nothing", "", None),
        ];
        for (case, data, expected) in table {
            assert_eq!(first(&body(MECHANISM, data)).ok(), expected, "{case}");
        }
        assert!(first(&body("SCRAM-SHA-256", "n,,\u{1}auth=Bearer a\u{1}\u{1}")).is_err(), "not offered");
        assert!(first(b"OAUTHBEARER\0\xff\xff\xff\xff").is_err(), "no first word");
        assert!(first(&[body(MECHANISM, "n,,\u{1}auth=\u{1}\u{1}"), vec![0]].concat()).is_err(), "padded");
    }
}
