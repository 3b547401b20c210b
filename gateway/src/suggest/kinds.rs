//! What a value looks like. Each kind has a check of its own: digits that add up, a shape, or a word list.
//! Suggestions rest on counts of these; nothing is ever masked on one.

use std::net::IpAddr;

use url::Host;

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An e-mail address.
    Email,
    /// A card number, by Luhn's sum.
    Card,
    /// An IBAN, by its check digits (ISO 13616).
    Iban,
    /// A national id in the form of a US social security number.
    NationalId,
    /// A telephone number.
    Phone,
    /// An IP address.
    Ip,
    /// A key or token.
    Secret,
}

/// A kind for people, what to classify it as, and the mask that fits it best.
pub type Told = (&'static str, &'static str, &'static str);

impl Kind {
    /// Each of them, the surest first.
    pub const ALL: [Self; 7] =
        [Self::Email, Self::Iban, Self::Card, Self::Secret, Self::NationalId, Self::Ip, Self::Phone];

    /// For people, and the mask that fits it best.
    #[must_use]
    pub const fn told(self) -> Told {
        match self {
            Self::Email => ("e-mail address", "pii", "email"),
            Self::Card => ("card number", "pci", "last4"),
            Self::Iban => ("IBAN", "pci", "last4"),
            Self::NationalId => ("national id", "pii", "last4"),
            Self::Phone => ("telephone number", "pii", "last4"),
            Self::Ip => ("IP address", "pii", "hash"),
            Self::Secret => ("key or token", "secret", "redact"),
        }
    }

    /// Whether a value is of this kind.
    #[must_use]
    pub fn fits(self, value: &str) -> bool {
        let value = value.trim();
        match self {
            Self::Email => is_email(value),
            Self::Card => is_card(value),
            Self::Iban => is_iban(value),
            Self::NationalId => is_national_id(value),
            Self::Phone => is_phone(value),
            Self::Ip => value.parse::<IpAddr>().is_ok(),
            Self::Secret => is_secret(value),
        }
    }
}

fn is_email(value: &str) -> bool {
    value.split_once('@').is_some_and(|(local, domain)| {
        let sign = |c: char| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c);
        (1..=64).contains(&local.chars().count())
            && local.chars().all(sign)
            && domain.contains('.')
            && matches!(Host::parse(domain), Ok(Host::Domain(_)))
    })
}

fn digits(value: &str) -> Option<Vec<u32>> {
    let grouped = value.chars().all(|c| c.is_ascii_digit() || c == ' ' || c == '-');
    grouped.then(|| value.chars().filter_map(|c| c.to_digit(10)).collect())
}

fn is_card(value: &str) -> bool {
    let Some(digits) = digits(value).filter(|digits| (13..=19).contains(&digits.len())) else { return false };
    // No issuer begins with these.
    if matches!(digits.first(), Some(0 | 7 | 8)) {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match at % 2 {
            0 => *digit,
            _ if *digit > 4 => digit * 2 - 9,
            _ => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn is_iban(value: &str) -> bool {
    let plain: String = value.chars().filter(|c| *c != ' ').collect();
    let (Some(country), Some(check), Some(rest)) = (plain.get(..2), plain.get(2..4), plain.get(4..)) else {
        return false;
    };
    let shaped = country.bytes().all(|b| b.is_ascii_uppercase())
        && check.bytes().all(|b| b.is_ascii_digit())
        && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        && (15..=34).contains(&plain.len());
    shaped
        && format!("{rest}{country}{check}").chars().try_fold(0_u32, |sum, c| {
            let value = c.to_digit(36)?;
            Some((sum * if value > 9 { 100 } else { 10 } + value) % 97)
        }) == Some(1)
}

fn is_national_id(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let [area, group, serial] = parts.as_slice() else { return false };
    let number = |text: &str, length: usize| {
        (text.len() == length && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u32>().ok()).flatten()
    };
    let (Some(area), Some(group), Some(serial)) = (number(area, 3), number(group, 2), number(serial, 4)) else {
        return false;
    };
    area != 0 && area != 666 && group != 0 && serial != 0
}

fn is_phone(value: &str) -> bool {
    let count = value.chars().filter(char::is_ascii_digit).count();
    let signs = value.chars().all(|c| c.is_ascii_digit() || " +-()./".contains(c));
    let is_date = value.get(..10).is_some_and(|day| chrono::NaiveDate::parse_from_str(day, "%Y-%m-%d").is_ok());
    signs && !is_date && (7..=15).contains(&count) && (value.starts_with('+') || value.contains(['-', ' ', '/', '(']))
}

fn is_secret(value: &str) -> bool {
    const BEGINNINGS: [&str; 12] = [
        "sk_live_",
        "sk_test_",
        "ghp_",
        "gho_",
        "github_pat_",
        "xoxb-",
        "xoxp-",
        "xapp-",
        "AKIA",
        "AIza",
        "glpat-",
        "-----BEGIN",
    ];
    let token = value.starts_with("eyJ") && value.matches('.').count() == 2;
    let hashed = ["$2a$", "$2b$", "$2y$", "$argon2", "$scrypt", "SCRAM-SHA-256$"];
    token || BEGINNINGS.iter().chain(&hashed).any(|beginning| value.starts_with(beginning))
}

/// What a column's name says of it alone.
#[must_use]
pub fn by_name(column: &str) -> Option<Told> {
    type Named = (&'static [&'static str], Told);
    const NAMES: [Named; 5] = [
        (&["first_name", "last_name", "full_name", "surname", "given_name", "family_name"], ("name", "pii", "redact")),
        (&["street", "address", "postal_code", "zip_code", "postcode"], ("address", "pii", "redact")),
        (&["dob", "date_of_birth", "birth_date", "birthday"], ("date of birth", "pii", "year")),
        (
            &["password", "passwd", "secret", "api_key", "access_token", "private_key"],
            ("key or token", "secret", "redact"),
        ),
        (&["salary", "wage", "income"], ("pay", "pay", "redact")),
    ];
    let column = column.to_ascii_lowercase();
    NAMES.iter().find(|(names, _)| names.iter().any(|name| column.contains(name))).map(|(_, told)| *told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_its_digits_and_shape_say() {
        let table: [(&str, Option<Kind>); 22] = [
            ("ana@acme.dev", Some(Kind::Email)),
            ("ana.b+c@mail.acme.co.uk", Some(Kind::Email)),
            ("ana@acme", None),
            ("not an address@", None),
            ("4111 1111 1111 1111", Some(Kind::Card)),
            ("4111 1111 1111 1112", None),
            ("5500-0000-0000-0004", Some(Kind::Card)),
            ("1234567890123", None),
            ("DE89 3704 0044 0532 0130 00", Some(Kind::Iban)),
            ("GB82WEST12345698765432", Some(Kind::Iban)),
            ("GB82WEST12345698765433", None),
            ("078-05-1120", Some(Kind::NationalId)),
            ("000-05-1120", Some(Kind::Phone)),
            ("+49 30 1234567", Some(Kind::Phone)),
            ("(555) 010-9999", Some(Kind::Phone)),
            ("12345678", None),
            ("2024-01-02", None),
            ("10.0.0.7", Some(Kind::Ip)),
            ("2001:db8::1", Some(Kind::Ip)),
            ("eyJhbGciOi.eyJzdWIi.c2ln", Some(Kind::Secret)),
            ("ghp_0123456789abcdef", Some(Kind::Secret)),
            ("SKU-0001", None),
        ];
        for (value, expected) in table {
            let found = Kind::ALL.into_iter().find(|kind| kind.fits(value));
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn a_name_alone_suggests_what_no_value_shows() {
        assert_eq!(by_name("date_of_birth").map(|told| told.2), Some("year"));
        assert_eq!(by_name("LAST_NAME").map(|told| told.0), Some("name"));
        assert_eq!(by_name("label"), None);
    }
}
