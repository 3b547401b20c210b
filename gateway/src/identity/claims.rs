//! Claims into a principal and groups: what this issuer may assert, and no more.

use serde_json::{Map, Value};

use super::TokenRefused;
use crate::config::IdentityConfig;

/// More groups than this are no token of ours.
const MOST_GROUPS: usize = 2_000;

/// The user that the claims name, lower case.
///
/// It must look like an address whatever the claim: an agent's name never does, so that no user
/// can be named like an agent.
pub(super) fn principal(claims: &Map<String, Value>, config: &IdentityConfig) -> Result<String, TokenRefused> {
    let nobody = TokenRefused::Nobody;
    let name =
        claims.get(&config.user_claim).and_then(Value::as_str).ok_or(nobody("the claim for the user is missing"))?;
    if config.user_claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err(nobody("the provider has not verified the e-mail address"));
    }
    let name = name.to_ascii_lowercase();
    let domain = address_domain(&name).ok_or(nobody("the claim for the user is not a plain address"))?;
    match &config.domains {
        Some(domains) if !domains.iter().any(|own| own.eq_ignore_ascii_case(domain)) => {
            Err(nobody("the address is not in a domain that this provider may assert"))
        }
        _ => Ok(name),
    }
}

/// The domain of a plain ASCII address without quoting or comments; `None` for anything else.
fn address_domain(name: &str) -> Option<&str> {
    let (local, domain) = name.split_once('@')?;
    let local_fine = (1..=64).contains(&local.len())
        && local.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_{}~.".contains(&b));
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let domain_fine = domain.len() <= 189 && domain.split('.').all(label);
    (local_fine && domain_fine).then_some(domain)
}

/// The groups that the claims assert and this issuer may.
pub(super) fn groups(claims: &Map<String, Value>, config: &IdentityConfig) -> Result<Vec<String>, TokenRefused> {
    let wrong = TokenRefused::Nobody("the claim for the groups is not a list of texts");
    let all = match claims.get(&config.groups_claim) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(all)) if all.len() <= MOST_GROUPS => all,
        Some(_) => return Err(wrong),
    };
    let mut groups = Vec::new();
    for group in all {
        let group = group.as_str().filter(|name| name.len() <= 256).ok_or(wrong.clone())?;
        let may = config.groups.as_ref().is_none_or(|patterns| patterns.iter().any(|p| matches(p, group)));
        if may && !group.is_empty() && !groups.iter().any(|known| known == group) {
            groups.push(group.to_owned());
        }
    }
    Ok(groups)
}

/// Whether `text` is what `pattern` says, where `*` stands for any run of characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    let mut parts = tail.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_as_an_address() {
        let table = [
            ("ana@acme.dev", Some("acme.dev")),
            ("o'brien+db@mail.acme.dev", Some("mail.acme.dev")),
            ("ana", None),
            ("@acme.dev", None),
            ("ana@", None),
            ("ana@acme..dev", None),
            ("ana@evil.dev@acme.dev", None),
            ("\"ana@evil\"@acme.dev", None),
            ("ana|root@acme.dev", None),
            ("ana @acme.dev", None),
            ("ana\u{200b}@acme.dev", None),
            ("аna@acme.dev", None),
            ("ana@acme.dev\n", None),
        ];
        for (text, domain) in table {
            assert_eq!(address_domain(text), domain, "{text:?}");
        }
    }

    #[test]
    fn a_star_stands_for_any_run() {
        let table = [
            ("*", "dba", true),
            ("dba", "dba", true),
            ("dba", "dbas", false),
            ("eng-*", "eng-data", true),
            ("eng-*", "ops-eng-data", false),
            ("*-admins", "shop-admins", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("", "dba", false),
        ];
        for (pattern, text, fine) in table {
            assert_eq!(matches(pattern, text), fine, "{pattern} {text}");
        }
    }
}
