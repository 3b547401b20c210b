//! Whether an HTTP request comes from Slack: `v0=` + HMAC-SHA-256 of `v0:timestamp:body`
//! (<https://docs.slack.dev/authentication/verifying-requests-from-slack>).

use aws_lc_rs::hmac;

/// How far a request's time may be from ours, either way, in seconds.
pub const WINDOW: u64 = 300;

/// Why a request is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// A header is absent or malformed.
    #[error("the signature or its time is absent or malformed")]
    Malformed,
    /// Its time is more than five minutes away.
    #[error("the request is too old, or from the future; compare the clocks")]
    Stale,
    /// Somebody else wrote it, or the signing secret is another.
    #[error("the signature is wrong; compare the signing secret")]
    Wrong,
}

/// Verifies a body against its headers, in constant time.
///
/// # Errors
/// Why it is not believed.
pub fn verify(secret: &[u8], timestamp: &str, signature: &str, body: &[u8], now: i64) -> Result<(), Unverified> {
    if secret.is_empty() || timestamp.is_empty() || !timestamp.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Unverified::Malformed);
    }
    let time: i64 = timestamp.parse().map_err(|_| Unverified::Malformed)?;
    if time.abs_diff(now) > WINDOW {
        return Err(Unverified::Stale);
    }
    let tag = signature.strip_prefix("v0=").and_then(unhex).ok_or(Unverified::Malformed)?;
    let mut signed = format!("v0:{timestamp}:").into_bytes();
    signed.extend_from_slice(body);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::verify(&key, &signed, &tag).map_err(|_| Unverified::Wrong)
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let text: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let nibble = |b: u8| char::from(b).to_digit(16).and_then(|n| u8::try_from(n).ok());
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of Slack's documentation.
    const SECRET: &[u8] = b"8f742231b10e8888abcd99yyyzzz85a5";
    const TIME: &str = "1531420618";
    const NOW: i64 = 1_531_420_618;
    const BODY: &[u8] = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

    #[test]
    fn only_what_slack_signed_just_now_is_believed() {
        let other = SIGNATURE.replace("a2", "a3");
        type Case<'a> = (&'a str, &'a [u8], &'a str, &'a str, &'a [u8], i64, Result<(), Unverified>);
        let table: [Case<'_>; 13] = [
            ("Slack's example", SECRET, TIME, SIGNATURE, BODY, NOW, Ok(())),
            ("five minutes later", SECRET, TIME, SIGNATURE, BODY, NOW + 300, Ok(())),
            ("later still", SECRET, TIME, SIGNATURE, BODY, NOW + 301, Err(Unverified::Stale)),
            ("our clock is behind", SECRET, TIME, SIGNATURE, BODY, NOW - 301, Err(Unverified::Stale)),
            ("another body", SECRET, TIME, SIGNATURE, b"token=x", NOW, Err(Unverified::Wrong)),
            ("another time", SECRET, "1531420619", SIGNATURE, BODY, NOW, Err(Unverified::Wrong)),
            ("another secret", b"x", TIME, SIGNATURE, BODY, NOW, Err(Unverified::Wrong)),
            ("no secret", b"", TIME, SIGNATURE, BODY, NOW, Err(Unverified::Malformed)),
            ("a flipped digit", SECRET, TIME, &other, BODY, NOW, Err(Unverified::Wrong)),
            ("a short signature", SECRET, TIME, &SIGNATURE[..60], BODY, NOW, Err(Unverified::Malformed)),
            ("no signature", SECRET, TIME, "", BODY, NOW, Err(Unverified::Malformed)),
            ("no time", SECRET, "", SIGNATURE, BODY, NOW, Err(Unverified::Malformed)),
            ("a signed time", SECRET, "+1531420618", SIGNATURE, BODY, NOW, Err(Unverified::Malformed)),
        ];
        for (case, secret, time, signature, body, now, expected) in table {
            assert_eq!(verify(secret, time, signature, body, now), expected, "{case}");
        }
    }
}
