//! `tokens`: tokens that count no more. For one that leaked.

use std::{io::Read as _, path::Path, process::ExitCode};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Subcommand;
use countersign_shared::{
    api::{DeniedToken, DenyTokenAnswer, DenyTokenBody},
    digest,
};
use reqwest::Method;
use serde_json::Value;

use crate::api::{Api, NOTHING, plain, with};

/// What to do with tokens.
#[derive(Subcommand)]
pub enum What {
    /// Lists the tokens that were denied.
    Denied,
    /// Denies one, at once and in sessions that rest on it. Nothing takes that back.
    Deny {
        /// Its `jti`; or `-` to read the token itself from stdin, which is not sent anywhere.
        jti: String,
        /// Why; the log keeps it.
        #[arg(long)]
        reason: String,
        /// Whose token it is, where there are several issuers.
        #[arg(long)]
        issuer: Option<String>,
    },
}

/// Runs it.
pub async fn run(config: &Path, what: What, json: bool) -> ExitCode {
    with(config, async |api| work(api, what, json).await).await
}

async fn work(api: &Api, what: What, json: bool) -> Result<(), String> {
    match what {
        What::Denied => {
            let denied: Vec<DeniedToken> = api.call(Method::GET, "/v1/tokens/denied", NOTHING).await?;
            if json {
                crate::say_json(&denied);
            } else if denied.is_empty() {
                crate::say("no token was denied");
            } else {
                denied.iter().for_each(|token| crate::say(&line(token)));
            }
        }
        What::Deny { jti, reason, issuer } => {
            let body = if jti == "-" {
                let mut token = String::new();
                let read = std::io::stdin().take(64 << 10).read_to_string(&mut token);
                read.map_err(|error| format!("no token can be read from stdin: {error}"))?;
                named_by(token.trim(), issuer, reason)?
            } else {
                DenyTokenBody { issuer, jti: Some(jti), sha256: None, reason }
            };
            let answer: DenyTokenAnswer = api.call(Method::POST, "/v1/tokens/denied", Some(&body)).await?;
            if json {
                crate::say_json(&answer);
            } else {
                crate::say(&format!("denied; sessions that ended with it: {}", answer.sessions));
            }
        }
    }
    Ok(())
}

/// What names a token, without the token.
fn named_by(token: &str, issuer: Option<String>, reason: String) -> Result<DenyTokenBody, String> {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims = claims.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let claims = claims.ok_or("what came on stdin is no token")?;
    let text = |name: &str| claims[name].as_str().map(str::to_owned);
    Ok(DenyTokenBody {
        issuer: issuer.or_else(|| text("iss")),
        jti: text("jti"),
        sha256: Some(digest::of_token(token)),
        reason,
    })
}

fn line(token: &DeniedToken) -> String {
    let name = match (&token.jti, &token.sha256) {
        (Some(jti), _) => format!("jti {}", plain(jti)),
        (None, Some(digest)) => format!("sha256 {digest}"),
        (None, None) => "?".to_owned(),
    };
    let by = token.denied_by.as_deref().map(|by| format!(" by {}", plain(by))).unwrap_or_default();
    let at = token.denied_at.format("%Y-%m-%d %H:%M:%S UTC");
    format!("{name} of {}, denied {at}{by}: {}", plain(&token.issuer), plain(&token.reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_named_and_not_sent() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"iss":"https://idp","jti":"7"}"#);
        let token = format!("e30.{claims}.c2ln");
        let body = named_by(&token, None, "it leaked".into()).unwrap();
        assert_eq!((body.issuer.as_deref(), body.jti.as_deref()), (Some("https://idp"), Some("7")));
        assert_eq!(body.sha256, Some(digest::of_bytes(format!("e30.{claims}").as_bytes())));
        assert!(!serde_json::to_string(&body).unwrap().contains("c2ln"));
        assert!(named_by("hunter2", None, String::new()).is_err());
    }
}
