//! Names of attributes, as filters, patches and queries say them (RFC 7644, sections 3.5.2 and 3.10).

use super::schema::{Attribute, Type};

/// An attribute, or one of its own.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// The attribute of the resource.
    pub attribute: &'static Attribute,
    /// The one below it.
    pub sub: Option<&'static Attribute>,
}

/// Why a name names nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It is known, and the gateway does not keep it.
    Unkept,
    /// It is not known.
    Nothing,
}

impl Path {
    /// Reads `[urn:]attribute[.sub]`.
    ///
    /// # Errors
    /// Where there is no such attribute.
    pub fn parse(kind: &Type, text: &str) -> Result<Self, Unknown> {
        let name = without_schema(kind, text)?;
        let (name, sub) = name.split_once('.').map_or((name, None), |(name, sub)| (name, Some(sub)));
        let Some(attribute) = kind.attribute(name) else {
            return Err(if kind.is_unkept(name) { Unknown::Unkept } else { Unknown::Nothing });
        };
        let Some(sub) = sub else { return Ok(Self { attribute, sub: None }) };
        match attribute.sub(sub) {
            Some(sub) => Ok(Self { attribute, sub: Some(sub) }),
            None if kind.is_unkept(sub) => Err(Unknown::Unkept),
            None => Err(Unknown::Nothing),
        }
    }

    /// What it ends at.
    #[must_use]
    pub fn last(&self) -> &'static Attribute {
        self.sub.unwrap_or(self.attribute)
    }
}

/// The name behind the resource's own schema. What is in another schema is not kept here.
pub fn without_schema<'t>(kind: &Type, text: &'t str) -> Result<&'t str, Unknown> {
    let text = text.trim();
    if !text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:")) {
        return Ok(text);
    }
    let own = text.get(..kind.schema.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind.schema));
    let rest = if own { text.get(kind.schema.len()..).unwrap_or_default() } else { "" };
    match rest.strip_prefix(':') {
        Some(name) => Ok(name),
        None if own => Err(Unknown::Nothing),
        None => Err(Unknown::Unkept),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::schema::USERS, *};

    #[test]
    fn a_name_is_an_attribute_of_the_resource_or_nothing() {
        let table = [
            ("userName", Ok("userName")),
            ("USERNAME", Ok("userName")),
            ("urn:ietf:params:scim:schemas:core:2.0:User:userName", Ok("userName")),
            ("URN:ietf:params:scim:schemas:core:2.0:user:Name.FamilyName", Ok("name.familyName")),
            ("emails.value", Ok("emails.value")),
            ("groups.$ref", Ok("groups.$ref")),
            ("meta.lastModified", Ok("meta.lastModified")),
            ("title", Err(Unknown::Unkept)),
            ("name.middleName", Err(Unknown::Unkept)),
            ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", Err(Unknown::Unkept)),
            ("urn:ietf:params:scim:schemas:core:2.0:User", Err(Unknown::Nothing)),
            ("userName.x", Err(Unknown::Nothing)),
            ("members", Err(Unknown::Nothing)),
            ("", Err(Unknown::Nothing)),
            (".", Err(Unknown::Nothing)),
            ("userName.", Err(Unknown::Nothing)),
            ("ürn:", Err(Unknown::Nothing)),
        ];
        for (text, expected) in table {
            let found = Path::parse(&USERS, text).map(|path| match path.sub {
                Some(sub) => format!("{}.{}", path.attribute.name, sub.name),
                None => path.attribute.name.to_owned(),
            });
            assert_eq!(found, expected.map(str::to_owned), "{text:?}");
        }
    }
}
