//! What ties a login to the TLS connection under it: `tls-server-end-point` (RFC 5929, section 4), the
//! hash of the server's certificate. Whoever stands between with another certificate fails the login.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

/// What is known of a connection to a server that a login may be tied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// There is no TLS.
    NoTls,
    /// The hash of the server's certificate.
    EndPoint(Vec<u8>),
    /// The certificate is signed in a way that says no hash (Ed25519), or that is not known.
    NoHash,
}

impl Binding {
    /// By a server's certificate, in DER.
    #[must_use]
    pub fn to(certificate: &[u8]) -> Self {
        let hash = |algorithm| Self::EndPoint(digest(algorithm, certificate).as_ref().to_vec());
        signature_hash(certificate).map_or(Self::NoHash, hash)
    }
}

const SEQUENCE: u8 = 0x30;
const OBJECT: u8 = 0x06;
/// RSASSA-PSS-params' hashAlgorithm, a context tag.
const PSS_HASH: u8 = 0xa0;

/// The hash in a certificate's signature algorithm (RFC 5280, section 4.1), SHA-256 in place of MD5
/// and SHA-1.
fn signature_hash(certificate: &[u8]) -> Option<&'static Algorithm> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (_to_be_signed, rest) = element(certificate, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (name, parameters) = element(algorithm, OBJECT)?;
    // RFC 8017 and RFC 5758; the arcs 1.2.840.113549.1.1 and 1.2.840.10045.4.
    match name {
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a" => pss_hash(parameters),
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04"
        | b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05"
        | b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"
        | b"\x2a\x86\x48\xce\x3d\x04\x01"
        | b"\x2a\x86\x48\xce\x3d\x04\x03\x02" => Some(&SHA256),
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c" | b"\x2a\x86\x48\xce\x3d\x04\x03\x03" => Some(&SHA384),
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d" | b"\x2a\x86\x48\xce\x3d\x04\x03\x04" => Some(&SHA512),
        _ => None,
    }
}

/// RSASSA-PSS names its hash in its parameters; without, it is SHA-1 (RFC 4055, section 3.1).
fn pss_hash(parameters: &[u8]) -> Option<&'static Algorithm> {
    let (parameters, _) = element(parameters, SEQUENCE)?;
    let Some((hash, _)) = element(parameters, PSS_HASH) else { return Some(&SHA256) };
    let (hash, _) = element(hash, SEQUENCE)?;
    match element(hash, OBJECT)?.0 {
        b"\x2b\x0e\x03\x02\x1a" | b"\x60\x86\x48\x01\x65\x03\x04\x02\x01" => Some(&SHA256),
        b"\x60\x86\x48\x01\x65\x03\x04\x02\x02" => Some(&SHA384),
        b"\x60\x86\x48\x01\x65\x03\x04\x02\x03" => Some(&SHA512),
        _ => None,
    }
}

/// The contents of the DER element that `bytes` begin with, if its tag is `tag`, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), rest.get(2..)?),
        // No certificate is longer.
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(tag: u8, contents: &[u8]) -> Vec<u8> {
        let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
        [&[tag, 0x82, length[0], length[1]], contents].concat()
    }

    /// No certificate but for its outline: something signed, an algorithm, a signature.
    fn outline(object: &[u8], parameters: &[u8]) -> Vec<u8> {
        let algorithm = wrapped(SEQUENCE, &[wrapped(OBJECT, object), parameters.to_vec()].concat());
        let signed = wrapped(SEQUENCE, &[7; 300]);
        wrapped(SEQUENCE, &[signed, algorithm, wrapped(3, &[0, 1])].concat())
    }

    #[test]
    fn each_signature_names_its_hash() {
        let rsa = |last: u8| [b"\x2a\x86\x48\x86\xf7\x0d\x01\x01".as_slice(), &[last]].concat();
        let ecdsa = |last: u8| [b"\x2a\x86\x48\xce\x3d\x04\x03".as_slice(), &[last]].concat();
        let sha = |last: u8| wrapped(OBJECT, &[b"\x60\x86\x48\x01\x65\x03\x04\x02".as_slice(), &[last]].concat());
        let pss = |hash: &[u8]| wrapped(SEQUENCE, &wrapped(PSS_HASH, &wrapped(SEQUENCE, hash)));
        let table = [
            ("MD5 with RSA", outline(&rsa(4), &[5, 0]), Some(&SHA256)),
            ("SHA-1 with RSA", outline(&rsa(5), &[5, 0]), Some(&SHA256)),
            ("SHA-256 with RSA", outline(&rsa(11), &[5, 0]), Some(&SHA256)),
            ("SHA-384 with RSA", outline(&rsa(12), &[5, 0]), Some(&SHA384)),
            ("SHA-512 with RSA", outline(&rsa(13), &[5, 0]), Some(&SHA512)),
            ("ECDSA with SHA-256", outline(&ecdsa(2), &[]), Some(&SHA256)),
            ("ECDSA with SHA-384", outline(&ecdsa(3), &[]), Some(&SHA384)),
            ("PSS with SHA-512", outline(&rsa(10), &pss(&sha(3))), Some(&SHA512)),
            ("PSS with its default", outline(&rsa(10), &wrapped(SEQUENCE, &[])), Some(&SHA256)),
            ("PSS with an unknown hash", outline(&rsa(10), &pss(&sha(9))), None),
            ("Ed25519", outline(b"\x2b\x65\x70", &[]), None),
        ];
        for (case, certificate, expected) in table {
            assert_eq!(signature_hash(&certificate), expected, "{case}");
            for cut in 0..certificate.len() {
                // What matters is that it returns.
                signature_hash(&certificate[..cut]);
            }
        }
    }

    #[test]
    fn a_real_certificate_is_hashed_whole() {
        for (algorithm, expected) in
            [(&rcgen::PKCS_ECDSA_P256_SHA256, 32), (&rcgen::PKCS_ECDSA_P384_SHA384, 48), (&rcgen::PKCS_ED25519, 0)]
        {
            let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let params = rcgen::CertificateParams::new(["db.acme.dev".to_owned()]).unwrap();
            let length = match Binding::to(params.self_signed(&key).unwrap().der()) {
                Binding::EndPoint(hash) => hash.len(),
                Binding::NoHash => 0,
                Binding::NoTls => panic!("there is a certificate"),
            };
            assert_eq!(length, expected);
        }
    }
}
