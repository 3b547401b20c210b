//! The gateway's signature over each approval, so that a row written past us counts for nothing.

use std::path::Path;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_shared::{
    digest::{Digest, Fields},
    request::Assurance,
};

use super::keys::{self, KeyError};
use crate::store::{Approval, Term, allowances::Allowed};

/// Ed25519.
pub struct SealKey {
    pair: Ed25519KeyPair,
}

impl SealKey {
    /// Reads the key, or makes it at the first start.
    ///
    /// # Errors
    /// Where the file can't be read or made, or holds something else.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        let pem = keys::load_or_create(path)?;
        Self::from_pem(path, &pem)
    }

    fn from_pem(path: &Path, pem: &countersign_shared::secret::Secret<String>) -> Result<Self, KeyError> {
        Ok(Self { pair: keys::pair(pem).map_err(|why| keys::error(path, why))? })
    }

    /// 32 bytes that nobody has who has not this key, and that are the same each time. Ed25519's
    /// signatures are deterministic, and a text with this domain is signed for nothing else.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Digest {
        let meaning = Fields::of("countersign/derived-key/v1").field("purpose", purpose).finish();
        Fields::of("countersign/derived-key/v1").field("key", self.pair.sign(meaning.as_bytes())).finish()
    }

    /// The same approval with its signature.
    #[must_use]
    pub fn seal(&self, approval: Approval) -> Approval {
        let signature = STANDARD.encode(self.pair.sign(meaning(&approval).as_bytes()));
        Approval { signature, ..approval }
    }

    /// Whether we sealed exactly this approval.
    #[must_use]
    pub fn verify(&self, approval: &Approval) -> bool {
        self.signed(&meaning(approval), &approval.signature)
    }

    /// The same term of a grant with its signature.
    #[must_use]
    pub fn seal_term(&self, term: Term) -> Term {
        let signature = STANDARD.encode(self.pair.sign(meaning_of_term(&term).as_bytes()));
        Term { signature, ..term }
    }

    /// Whether we sealed exactly this term.
    #[must_use]
    pub fn verify_term(&self, term: &Term) -> bool {
        self.signed(&meaning_of_term(term), &term.signature)
    }

    fn signed(&self, meaning: &Digest, signature: &str) -> bool {
        let public = UnparsedPublicKey::new(&ED25519, self.pair.public_key());
        STANDARD.decode(signature).is_ok_and(|signature| public.verify(meaning.as_bytes(), &signature).is_ok())
    }
}

/// What is signed of a term: every field but the signature. Its domain keeps it apart from approvals.
fn meaning_of_term(term: &Term) -> Digest {
    Fields::of("countersign/grant/v1")
        .field("grant", term.grant.as_str())
        .field("number", term.number.to_be_bytes())
        .field("principal", &term.human.principal)
        .field("issuer", &term.human.issuer)
        .field("subject", &term.human.subject)
        .optional("owner", term.human.owner.as_deref())
        .field("connection", &term.connection)
        .field("role", &term.role)
        .field("reason", &term.reason)
        .optional("request", term.request.as_ref().map(countersign_shared::ids::RequestId::as_str))
        .list("approved_by", &term.approved_by)
        .field("from", term.from.timestamp_millis().to_be_bytes())
        .field("until", term.until.timestamp_millis().to_be_bytes())
        .finish()
}

/// What is signed: every field but the signature.
fn meaning(approval: &Approval) -> Digest {
    let assurance = match approval.assurance {
        Assurance::Slack => "slack",
        Assurance::Cli => "cli",
        Assurance::StepUp => "step_up",
    };
    let at = format!("{}.{:09}", approval.at.timestamp(), approval.at.timestamp_subsec_nanos());
    // One that allows a single run means what it meant before there were others.
    let fields = match &approval.allow {
        None => Fields::of("countersign/approval/v1"),
        Some(Allowed { terms, bound }) => Fields::of("countersign/approval-for-a-time/v1")
            .field("minutes", terms.minutes.to_be_bytes())
            .field("runs", terms.runs.to_be_bytes())
            .field("rows", terms.rows.to_be_bytes())
            .field("parameters", terms.parameters.as_str())
            .field("text", bound.text.as_bytes())
            .field("free", bound.free.as_bytes())
            .field("pinned", bound.pinned.as_bytes()),
    };
    fields
        .field("request", approval.request.as_str())
        .field("digest", approval.digest.as_bytes())
        .field("principal", &approval.approver.principal)
        .field("issuer", &approval.approver.issuer)
        .field("subject", &approval.approver.subject)
        .optional("owner", approval.approver.owner.as_deref())
        .field("assurance", assurance)
        .field("at", at)
        .field("evidence", &approval.evidence)
        .finish()
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, Utc};
    use countersign_shared::{
        allow::{Parameters, Terms},
        digest::of_bytes,
        duties::Human,
        ids::RequestId,
    };

    use super::*;
    use crate::store::allowances::Bound;

    #[test]
    fn a_seal_covers_every_field() {
        let folder = tempfile::tempdir().unwrap();
        let key = SealKey::load_or_create(&folder.path().join("log.key")).unwrap();
        let approver = Human {
            principal: "priya@acme.dev".into(),
            issuer: "https://idp".into(),
            subject: "2".into(),
            owner: None,
        };
        let sealed = key.seal(Approval {
            request: RequestId::random(),
            digest: of_bytes(b"one"),
            approver: approver.clone(),
            assurance: Assurance::Slack,
            at: Utc::now(),
            evidence: "token".into(),
            allow: None,
            signature: String::new(),
        });
        assert!(key.verify(&sealed));
        let human = |change: &dyn Fn(&mut Human)| {
            let mut human = approver.clone();
            change(&mut human);
            Approval { approver: human, ..sealed.clone() }
        };
        let table = [
            ("request", Approval { request: RequestId::random(), ..sealed.clone() }),
            ("digest", Approval { digest: of_bytes(b"two"), ..sealed.clone() }),
            ("principal", human(&|h| h.principal = "dario@acme.dev".into())),
            ("issuer", human(&|h| h.issuer = "https://evil".into())),
            ("subject", human(&|h| h.subject = "3".into())),
            ("owner", human(&|h| h.owner = Some(String::new()))),
            ("assurance", Approval { assurance: Assurance::StepUp, ..sealed.clone() }),
            ("time", Approval { at: sealed.at + TimeDelta::nanoseconds(1), ..sealed.clone() }),
            ("evidence", Approval { evidence: "other".into(), ..sealed.clone() }),
            ("signature", Approval { signature: String::new(), ..sealed.clone() }),
        ];
        for (field, changed) in table {
            assert!(!key.verify(&changed), "{field}");
        }
        let bound = Bound { text: of_bytes(b"t"), free: of_bytes(b"f"), pinned: of_bytes(b"p") };
        let terms = Terms { minutes: 30, runs: 10, rows: 500, parameters: Parameters::Pinned };
        let allowed = Allowed { terms, bound };
        assert!(!key.verify(&Approval { allow: Some(allowed), ..sealed.clone() }), "allowed what was approved once");
        let long = key.seal(Approval { allow: Some(allowed), ..sealed.clone() });
        assert!(key.verify(&long));
        let table = [
            ("nothing", None),
            ("minutes", Some(Allowed { terms: Terms { minutes: 31, ..terms }, bound })),
            ("runs", Some(Allowed { terms: Terms { runs: 11, ..terms }, bound })),
            ("rows", Some(Allowed { terms: Terms { rows: 501, ..terms }, bound })),
            ("parameters", Some(Allowed { terms: Terms { parameters: Parameters::Free, ..terms }, bound })),
            ("text", Some(Allowed { terms, bound: Bound { text: of_bytes(b"x"), ..bound } })),
            ("what is bound", Some(Allowed { terms, bound: Bound { free: of_bytes(b"x"), ..bound } })),
            ("values", Some(Allowed { terms, bound: Bound { pinned: of_bytes(b"x"), ..bound } })),
        ];
        for (field, allow) in table {
            assert!(!key.verify(&Approval { allow, ..long.clone() }), "{field}");
        }
        let other = SealKey::load_or_create(&folder.path().join("other.key")).unwrap();
        assert!(!other.verify(&sealed), "another gateway's key");
    }

    #[test]
    fn a_seal_covers_every_field_of_a_term() {
        let folder = tempfile::tempdir().unwrap();
        let key = SealKey::load_or_create(&folder.path().join("log.key")).unwrap();
        let human = Human { principal: "ana@acme.dev".into(), issuer: "i".into(), subject: "1".into(), owner: None };
        let sealed = key.seal_term(Term {
            grant: countersign_shared::ids::GrantId::random(),
            number: 0,
            human: human.clone(),
            connection: "shop".into(),
            role: "writer".into(),
            reason: "INC-1".into(),
            request: Some(RequestId::random()),
            approved_by: vec!["priya@acme.dev".into()],
            from: Utc::now(),
            until: Utc::now() + TimeDelta::hours(1),
            signature: String::new(),
        });
        assert!(key.verify_term(&sealed));
        let of = |change: &dyn Fn(&mut Term)| {
            let mut term = sealed.clone();
            change(&mut term);
            term
        };
        let table = [
            ("grant", of(&|t| t.grant = countersign_shared::ids::GrantId::random())),
            ("number", of(&|t| t.number = 1)),
            ("principal", of(&|t| t.human.principal = "ben@acme.dev".into())),
            ("issuer", of(&|t| t.human.issuer = "j".into())),
            ("subject", of(&|t| t.human.subject = "2".into())),
            ("owner", of(&|t| t.human.owner = Some("ben@acme.dev".into()))),
            ("connection", of(&|t| t.connection = "crm".into())),
            ("role", of(&|t| t.role = "admin".into())),
            ("reason", of(&|t| t.reason = String::new())),
            ("request", of(&|t| t.request = None)),
            ("approvers", of(&|t| t.approved_by = vec![])),
            ("begin", of(&|t| t.from -= TimeDelta::milliseconds(1))),
            ("end", of(&|t| t.until += TimeDelta::milliseconds(1))),
            ("signature", of(&|t| t.signature = String::new())),
        ];
        for (field, changed) in table {
            assert!(!key.verify_term(&changed), "{field}");
        }
    }
}
