//! Policies that several people sign before they count: detached SSH signatures over the list of the folder's files.
//!
//! What is signed is what `LC_ALL=C sha256sum *.cedar *.template.toml` prints in the folder, so that nobody needs this program to see what
//! they sign; with what, `ssh-keygen -Y sign -n countersign-policy` (`PROTOCOL.sshsig` in OpenSSH's sources). Who may sign is a
//! file in the form of `ssh-keygen`'s ALLOWED SIGNERS, without options.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ED25519, UnparsedPublicKey},
};
use ssh_key::{
    PublicKey, SshSig,
    public::{Ed25519PublicKey, KeyData},
};

use super::source::Source;
use crate::{config::Problem, regular};

/// What the signatures are for; one that was made for something else does not count.
pub const NAMESPACE: &str = "countersign-policy";
/// So many signatures are looked at.
const MOST: usize = 64;
/// The longest file of a signature, in bytes; one of Ed25519 has about 300.
const LONGEST: u64 = 16 << 10;

/// Who may sign, and how many of them must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signers {
    need: usize,
    namespace: String,
    /// Names by key.
    names: BTreeMap<[u8; 32], String>,
}

/// A signature as it lies in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    /// The name of its file.
    pub name: String,
    /// What it says, or why it can't be read.
    pub text: Result<String, String>,
}

impl Signers {
    /// Of those in `file`, `need` must sign; `place`: for gateways that are called so, and for no others.
    ///
    /// # Errors
    /// Everything that is wrong with the file, and fewer people than must sign.
    pub fn read(need: usize, file: &Path, place: Option<&str>) -> Result<Self, Vec<Problem>> {
        let namespace = place.map_or_else(|| NAMESPACE.to_owned(), |place| format!("{NAMESPACE}@{place}"));
        let problem = |line: usize, message: String, hint: &str| Problem {
            file: file.to_owned(),
            line,
            message,
            hint: Some(hint.to_owned()),
        };
        let hint = "lines like: ana@acme.dev ssh-ed25519 AAAA…";
        let text = fs::read_to_string(file)
            .map_err(|error| vec![problem(0, format!("who may sign policies can't be read: {error}"), hint)])?;
        let (mut names, mut problems) = (BTreeMap::new(), Vec::new());
        for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match signer(line) {
                Ok((name, key)) => match names.insert(key, name.clone()) {
                    Some(other) if other != name => {
                        let message = format!("{name} has the same key as {other}");
                        problems.push(problem(at, message, "each person signs with a key of their own"));
                    }
                    _ => {}
                },
                Err(why) => problems.push(problem(at, why, hint)),
            }
        }
        let people = names.values().collect::<BTreeSet<_>>().len();
        if problems.is_empty() && people < need {
            let message = format!("policies are to be signed by {need} people, and {people} are named here");
            problems.push(problem(0, message, "name more people, or lower `policy_signers`"));
        }
        if problems.is_empty() { Ok(Self { need, namespace, names }) } else { Err(problems) }
    }

    /// Who of them signed these files.
    ///
    /// # Errors
    /// Too few, with what is wrong with the signatures that do not count.
    pub(super) fn check(
        &self,
        folder: &Path,
        sources: &[Source],
        signatures: &[Signature],
    ) -> Result<Vec<String>, Vec<Problem>> {
        let signed = manifest(sources).map_err(|problem| vec![problem])?;
        let (mut by, mut wrong) = (BTreeSet::new(), Vec::new());
        for signature in signatures.iter().take(MOST) {
            match self.signer_of(signed.as_bytes(), signature) {
                Ok(name) => _ = by.insert(name.to_owned()),
                Err(why) => wrong.push(format!("{}: {why}", signature.name)),
            }
        }
        if signatures.len() > MOST {
            wrong.push(format!("only the first {MOST} signatures were looked at"));
        }
        if by.len() >= self.need {
            return Ok(by.into_iter().collect());
        }
        let names: Vec<&str> = by.iter().map(String::as_str).collect();
        let have = if names.is_empty() { "nobody".to_owned() } else { names.join(" and ") };
        let wrong = if wrong.is_empty() { String::new() } else { format!(" ({})", wrong.join("; ")) };
        let message =
            format!("these policies must be signed by {} people, and {have} has signed them{wrong}", self.need);
        let templates = if sources.iter().any(Source::is_template) { " *.template.toml" } else { "" };
        let hint = format!(
            "in this folder: LC_ALL=C sha256sum *.cedar{templates} > MANIFEST; ssh-keygen -Y sign -n {} -f ~/.ssh/id_ed25519 \
             MANIFEST; mv MANIFEST.sig NAME.sig",
            self.namespace
        );
        Err(vec![Problem { file: folder.to_owned(), line: 0, message, hint: Some(hint) }])
    }

    fn signer_of(&self, signed: &[u8], signature: &Signature) -> Result<&str, String> {
        let text = signature.text.as_ref().map_err(Clone::clone)?;
        let signature = SshSig::from_pem(text).map_err(|error| format!("it is no SSH signature: {error}"))?;
        if signature.namespace() != self.namespace {
            return Err(format!("it was made for {:?}, not for {:?}", signature.namespace(), self.namespace));
        }
        let KeyData::Ed25519(Ed25519PublicKey(key)) = signature.public_key() else {
            return Err("only keys of type ssh-ed25519 count".into());
        };
        let name = self.names.get(key).ok_or("its key belongs to nobody who may sign")?;
        let data =
            SshSig::signed_data(&self.namespace, signature.hash_alg(), signed).map_err(|error| error.to_string())?;
        UnparsedPublicKey::new(&ED25519, key)
            .verify(&data, signature.signature_bytes())
            .map_err(|_| format!("{name} signed other policies"))?;
        Ok(name)
    }
}

/// `ana@acme.dev ssh-ed25519 AAAA… comment`.
fn signer(line: &str) -> Result<(String, [u8; 32]), String> {
    let (name, key) = line.split_once(char::is_whitespace).ok_or("a name and a key are expected")?;
    if name.contains([',', '*', '?', '!', '"']) {
        return Err(format!("{name:?} is not one person's name"));
    }
    let key = PublicKey::from_openssh(key.trim())
        .map_err(|error| format!("the key can't be read ({error}); only ssh-ed25519 counts, without options"))?;
    match key.key_data() {
        KeyData::Ed25519(Ed25519PublicKey(key)) => Ok((name.to_lowercase(), *key)),
        _ => Err("only keys of type ssh-ed25519 count".into()),
    }
}

/// What is signed: `sha256sum`'s lines, sorted by name, policies before templates.
///
/// # Errors
/// A file's name of which `sha256sum` makes something else.
pub(super) fn manifest(sources: &[Source]) -> Result<String, Problem> {
    let mut names: Vec<(&str, &Source)> = sources.iter().map(|source| (source.name.as_str(), source)).collect();
    names.sort_unstable_by_key(|(name, source)| (source.is_template(), name.as_bytes()));
    let mut lines = String::new();
    for (name, source) in names {
        if name.contains(['\\', '\n', '\r', '\u{FFFD}']) {
            let message = "a file with such a name can't be signed".to_owned();
            return Err(Problem { file: source.file.clone(), line: 0, message, hint: Some("rename it".into()) });
        }
        let hash = digest(&SHA256, source.text.as_bytes());
        hash.as_ref().iter().for_each(|byte| lines.push_str(&format!("{byte:02x}")));
        lines.push_str(&format!("  {name}\n"));
    }
    Ok(lines)
}

/// The signatures that lie in `folder`, by name.
pub(super) fn signatures(folder: &Path) -> Vec<Signature> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<Signature> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sig"))
        .filter_map(|path| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            let text = regular::text(&path, LONGEST).map_err(|error| error.to_string());
            (!name.starts_with('.')).then_some(Signature { name, text })
        })
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A folder with `ssh-keygen`'s own keys, and what it signs.
    struct Desk(tempfile::TempDir);

    impl Desk {
        fn new(people: &[&str]) -> Self {
            let desk = Self(tempfile::tempdir().unwrap());
            people.iter().for_each(|name| desk.keygen(&["-q", "-t", "ed25519", "-N", "", "-f", name]));
            desk
        }

        fn keygen(&self, arguments: &[&str]) {
            let done = Command::new("ssh-keygen").args(arguments).current_dir(self.0.path()).output().unwrap();
            assert!(done.status.success(), "{done:?}");
        }

        fn key(&self, name: &str) -> String {
            fs::read_to_string(self.0.path().join(format!("{name}.pub"))).unwrap()
        }

        fn signs(&self, name: &str, namespace: &str, text: &str) -> Signature {
            fs::write(self.0.path().join("MANIFEST"), text).unwrap();
            _ = fs::remove_file(self.0.path().join("MANIFEST.sig"));
            self.keygen(&["-q", "-Y", "sign", "-n", namespace, "-f", name, "MANIFEST"]);
            let text = fs::read_to_string(self.0.path().join("MANIFEST.sig")).map_err(|error| error.to_string());
            Signature { name: format!("{name}.sig"), text }
        }

        fn signers(&self, need: usize, text: &str) -> Result<Signers, Vec<Problem>> {
            let file = self.0.path().join("signers");
            fs::write(&file, text).unwrap();
            Signers::read(need, &file, None)
        }
    }

    fn sources() -> Vec<Source> {
        let source = |name: &str, text: &str| Source { file: name.into(), name: name.into(), text: text.into() };
        vec![source("20-b.cedar", "two"), source("10-a.cedar", "one")]
    }

    #[test]
    fn what_is_signed_is_what_sha256sum_prints() {
        let folder = tempfile::tempdir().unwrap();
        sources().iter().for_each(|source| fs::write(folder.path().join(&source.name), &source.text).unwrap());
        let shell = "LC_ALL=C sha256sum *.cedar";
        let printed = Command::new("sh").args(["-c", shell]).current_dir(folder.path()).output().unwrap();
        assert_eq!(manifest(&sources()).unwrap(), String::from_utf8(printed.stdout).unwrap());
        let template = |name: &str| Source { file: name.into(), name: name.into(), text: format!("sql of {name}") };
        let with = [vec![template("00.template.toml")], sources(), vec![template("50.template.toml")]].concat();
        with.iter().for_each(|source| fs::write(folder.path().join(&source.name), &source.text).unwrap());
        let shell = "LC_ALL=C sha256sum *.cedar *.template.toml";
        let printed = Command::new("sh").args(["-c", shell]).current_dir(folder.path()).output().unwrap();
        assert_eq!(manifest(&with).unwrap(), String::from_utf8(printed.stdout).unwrap());
        let odd = Source { file: "x".into(), name: "a\n00  b.cedar".into(), text: String::new() };
        assert!(manifest(&[odd]).is_err());
    }

    #[test]
    fn as_many_people_as_must_have_signed_these_very_files() {
        let desk = Desk::new(&["ana", "ben", "eve"]);
        let all = format!("# who\n\nana@acme.dev {}Ben@acme.dev {}", desk.key("ana"), desk.key("ben"));
        let (signers, signed) = (desk.signers(2, &all).unwrap(), manifest(&sources()).unwrap());
        let other = signed.replace("10-a", "11-a");
        let (ana, ben) = (desk.signs("ana", NAMESPACE, &signed), desk.signs("ben", NAMESPACE, &signed));
        let broken = Signature { name: "x.sig".into(), text: Ok("-----BEGIN SSH SIGNATURE-----\nAAAA".into()) };
        let unread = Signature { name: "y.sig".into(), text: Err("it is too long for a signature".into()) };
        let again = Signature { name: "ana2.sig".into(), ..ana.clone() };
        // case, signatures, what is said where they are too few
        let table = [
            ("both", vec![ana.clone(), ben.clone()], None),
            ("both, and one that does not count", vec![broken.clone(), ana.clone(), ben], None),
            ("none", vec![], Some("nobody has signed")),
            ("one", vec![ana.clone()], Some("ana@acme.dev has signed")),
            ("one person twice", vec![ana.clone(), again], Some("ana@acme.dev has signed")),
            ("a stranger", vec![ana.clone(), desk.signs("eve", NAMESPACE, &signed)], Some("belongs to nobody")),
            ("other files", vec![ana.clone(), desk.signs("ben", NAMESPACE, &other)], Some("ben@acme.dev signed other")),
            ("for something else", vec![ana.clone(), desk.signs("ben", "git", &signed)], Some("made for \"git\"")),
            ("no signature", vec![ana.clone(), broken], Some("no SSH signature")),
            ("unreadable", vec![ana, unread], Some("too long")),
        ];
        for (case, signatures, why) in table {
            match (signers.check(Path::new("policy"), &sources(), &signatures), why) {
                (Ok(by), None) => assert_eq!(by, ["ana@acme.dev", "ben@acme.dev"], "{case}"),
                (Err(problems), Some(why)) => assert!(problems[0].message.contains(why), "{case}: {problems:?}"),
                (got, _) => panic!("{case}: {got:?}"),
            }
        }
    }

    #[test]
    fn a_signature_for_one_gateway_counts_at_no_other() {
        let desk = Desk::new(&["ana"]);
        fs::write(desk.0.path().join("signers"), format!("ana@acme.dev {}", desk.key("ana"))).unwrap();
        let signers = |place| Signers::read(1, &desk.0.path().join("signers"), place).unwrap();
        let signed = manifest(&sources()).unwrap();
        let (prod, any) =
            (desk.signs("ana", "countersign-policy@prod", &signed), desk.signs("ana", NAMESPACE, &signed));
        for (place, signature, counts) in [
            (Some("prod"), &prod, true),
            (Some("staging"), &prod, false),
            (None, &prod, false),
            (Some("prod"), &any, false),
            (None, &any, true),
        ] {
            let found = signers(place).check(Path::new("policy"), &sources(), std::slice::from_ref(signature));
            assert_eq!(found.is_ok(), counts, "{place:?}: {found:?}");
            let told = found.err().and_then(|problems| problems[0].hint.clone()).unwrap_or_default();
            let namespace = place
                .map_or_else(|| "-n countersign-policy -f".into(), |place| format!("-n countersign-policy@{place} -f"));
            assert!(counts || told.contains(&namespace), "{told}");
        }
    }

    #[test]
    fn who_may_sign_is_one_person_for_each_key() {
        let desk = Desk::new(&["ana"]);
        desk.keygen(&["-q", "-t", "ecdsa", "-N", "", "-f", "ecdsa"]);
        let key = desk.key("ana");
        let table = [
            (format!("ana@acme.dev {key}"), 2, "by 2 people, and 1 are named"),
            (format!("ana@acme.dev {key}ben@acme.dev {key}"), 2, "has the same key as ana@acme.dev"),
            (format!("*@acme.dev {key}"), 1, "not one person's name"),
            (format!("ana@acme.dev namespaces=\"git\" {key}"), 1, "can't be read"),
            (format!("ana@acme.dev {}", desk.key("ecdsa")), 1, "only ssh-ed25519 counts"),
            ("ana@acme.dev".into(), 1, "a name and a key"),
            (String::new(), 1, "0 are named"),
        ];
        for (text, need, why) in table {
            let problems = desk.signers(need, &text).unwrap_err();
            assert!(problems[0].message.contains(why), "{text}: {problems:?}");
        }
    }
}
