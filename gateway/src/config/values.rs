//! Texts into values. An error says what would fit.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use url::{Host, Url};

/// `90s`, `15m`, `8h`, `14d`, `1h30m`, within bounds.
pub(crate) fn duration(within: RangeInclusive<Duration>) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let value = any_duration(text).ok_or("write a duration like \"90s\", \"15m\", \"8h\", \"14d\" or \"1h30m\"")?;
        if within.contains(&value) {
            return Ok(value);
        }
        Err(format!("it must be between {} and {}", spelled(*within.start()), spelled(*within.end())))
    }
}

/// As [`any_duration`], for texts that come from elsewhere than the config.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    any_duration(text).map(|duration| duration.as_secs())
}

fn any_duration(text: &str) -> Option<Duration> {
    let (mut rest, mut seconds) = (text.trim(), 0_u64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(end);
        let unit = match after.as_bytes().first()? {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            _ => return None,
        };
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        rest = after.get(1..)?;
    }
    Some(Duration::from_secs(seconds))
}

pub(crate) fn spelled(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (value, unit) = [(86_400, "d"), (3600, "h"), (60, "m")]
        .into_iter()
        .find(|(size, _)| seconds >= *size && seconds.is_multiple_of(*size))
        .map_or((seconds, "s"), |(size, unit)| (seconds / size, unit));
    format!("{value}{unit}")
}

/// `64kB`, `4MB`, `1GB`: PostgreSQL's units, 1,024 each. Bytes, within bounds.
pub(super) fn size(within: RangeInclusive<usize>) -> impl Fn(&str) -> Result<usize, String> {
    move |text| {
        let units = [("kB", 10), ("MB", 20), ("GB", 30)];
        let value = units.into_iter().find_map(|(unit, shift)| {
            let number: usize = text.strip_suffix(unit)?.trim().parse().ok()?;
            number.checked_mul(1 << shift)
        });
        let spelled = |bytes: usize| {
            let fits = |(_, shift): &&(&str, i32)| bytes.is_multiple_of(1 << shift);
            units
                .iter()
                .rev()
                .find(fits)
                .map_or(format!("{bytes}"), |(unit, shift)| format!("{}{unit}", bytes >> shift))
        };
        let value = value.ok_or("write a size like \"64kB\", \"4MB\" or \"1GB\"")?;
        if within.contains(&value) {
            return Ok(value);
        }
        Err(format!("it must be between {} and {}", spelled(*within.start()), spelled(*within.end())))
    }
}

/// An IP address and a port.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    if let Some(port) = text.strip_prefix("localhost:") {
        return Err(format!("write an IP address: \"127.0.0.1:{port}\""));
    }
    text.parse().map_err(|_| "write an IP address and a port: \"127.0.0.1:6432\", \"[::1]:6432\"".to_owned())
}

/// An http URL without query and fragment; plain http on loopback only.
pub(crate) fn web_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("write a URL like \"https://login.acme.dev\" ({error})"))?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => return Err("http is for loopback addresses only; use https".to_owned()),
        _ => return Err("write a URL that begins with https://".to_owned()),
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err("leave out user, password, query and fragment".to_owned());
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether a host name, an address or a socket's folder is this machine.
pub(super) fn is_local(host: &str) -> bool {
    host.starts_with('/') || host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

/// A name that fits into an id, a `dbname` and a file name.
pub(super) fn name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty()
        && text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if fits { Ok(text.to_owned()) } else { Err("use 1 to 63 letters, digits, `.`, `_` and `-`".to_owned()) }
}

/// A user's identity, in lower case.
pub(super) fn user(text: &str) -> Result<String, String> {
    let fits = text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && domain.contains('.') && !domain.contains('@') && !text.contains(char::is_whitespace)
    });
    if fits { Ok(text.to_lowercase()) } else { Err("name a user by their identity: \"ana@acme.dev\"".to_owned()) }
}

/// One of a few words.
pub(super) fn one_of<T: Clone>(words: &[(&str, T)]) -> impl Fn(&str) -> Result<T, String> {
    let words: Vec<(String, T)> = words.iter().map(|(word, value)| ((*word).to_owned(), value.clone())).collect();
    move |text| {
        let found = words.iter().find(|(word, _)| word == text);
        found.map(|(_, value)| value.clone()).ok_or_else(|| {
            let all: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            format!("use {}", all.join(" or "))
        })
    }
}

/// `%2F` and the like, decoded.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after.get(2..)?;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// `09:00`: hour and minute.
pub(super) fn time_of_day(text: &str) -> Result<(u8, u8), String> {
    let below = |text: &str, end: u8| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u8>().ok()).flatten().filter(|number| *number < end)
    };
    let time = text.split_once(':').and_then(|(hour, minute)| Some((below(hour, 24)?, below(minute, 60)?)));
    time.ok_or_else(|| "write a time of day: \"09:00\"".to_owned())
}
