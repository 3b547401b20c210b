//! What there is of a user and a group (RFC 7643, sections 3, 4 and 7): the one table that documents,
//! filters, patches and `/Schemas` all read.

use serde_json::{Value, json};

/// The schema of users.
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The schema of groups.
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// What an attribute holds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A text.
    Text,
    /// `true` or `false`.
    Flag,
    /// A time.
    Time,
    /// An address of something.
    Reference(&'static [&'static str]),
    /// Attributes of its own.
    Complex(&'static [Attribute]),
}

/// Who writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// The client, at any time.
    Client,
    /// The client, when it is made.
    Once,
    /// The gateway.
    Server,
}

/// An attribute (RFC 7643, section 2.2).
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it is a list.
    pub many: bool,
    /// Whether it must be there.
    pub required: bool,
    /// Whether case counts when it is compared.
    pub exact: bool,
    /// Who writes it.
    pub writes: Writes,
    /// Whether it is in every answer.
    pub always: bool,
    /// Whether no two resources have the same.
    pub unique: bool,
    /// What it usually is.
    pub usual: &'static [&'static str],
    about: &'static str,
}

const fn of(name: &'static str, kind: Kind, about: &'static str) -> Attribute {
    Attribute {
        name,
        kind,
        many: false,
        required: false,
        exact: false,
        writes: Writes::Client,
        always: false,
        unique: false,
        usual: &[],
        about,
    }
}

const fn text(name: &'static str, about: &'static str) -> Attribute {
    of(name, Kind::Text, about)
}

impl Attribute {
    const fn many(self) -> Self {
        Self { many: true, ..self }
    }

    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    const fn exact(self) -> Self {
        Self { exact: true, ..self }
    }

    const fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    const fn ours(self) -> Self {
        Self { writes: Writes::Server, ..self }
    }

    const fn once(self) -> Self {
        Self { writes: Writes::Once, ..self }
    }

    const fn always(self) -> Self {
        Self { always: true, ..self }
    }

    const fn usually(self, usual: &'static [&'static str]) -> Self {
        Self { usual, ..self }
    }

    /// Its own attributes; none where it has none.
    #[must_use]
    pub const fn below(&self) -> &'static [Self] {
        match self.kind {
            Kind::Complex(below) => below,
            _ => &[],
        }
    }

    /// One of its own attributes.
    #[must_use]
    pub fn sub(&self, name: &str) -> Option<&'static Self> {
        find(self.below(), name)
    }

    /// As `/Schemas` tells it (RFC 7643, section 7).
    fn told(&self) -> Value {
        let kind = match self.kind {
            Kind::Text => "string",
            Kind::Flag => "boolean",
            Kind::Time => "dateTime",
            Kind::Reference(_) => "reference",
            Kind::Complex(_) => "complex",
        };
        let writes = match self.writes {
            Writes::Client => "readWrite",
            Writes::Once => "immutable",
            Writes::Server => "readOnly",
        };
        let mut told = json!({
            "name": self.name, "type": kind, "multiValued": self.many, "description": self.about,
            "required": self.required, "caseExact": self.exact, "mutability": writes,
            "returned": if self.always { "always" } else { "default" },
            "uniqueness": if self.unique { "server" } else { "none" },
        });
        if let Kind::Reference(types) = self.kind {
            told["referenceTypes"] = json!(types);
        }
        if !self.usual.is_empty() {
            told["canonicalValues"] = json!(self.usual);
        }
        if !self.below().is_empty() {
            told["subAttributes"] = self.below().iter().map(Self::told).collect();
        }
        told
    }
}

fn find(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// What every resource has (RFC 7643, section 3.1).
pub const COMMON: &[Attribute] = &[
    text("schemas", "The schemas of the resource").many().exact().always(),
    text("id", "The gateway's name for the resource").exact().ours().always().unique(),
    text("externalId", "The client's name for the resource; of a user, the `sub` of their tokens").exact(),
    of(
        "meta",
        Kind::Complex(&[
            text("resourceType", "User or Group").exact().ours(),
            of("created", Kind::Time, "Since when it is here").ours(),
            of("lastModified", Kind::Time, "When it changed last").ours(),
            text("location", "Its address").exact().ours(),
            text("version", "Its version, as in the ETag").exact().ours(),
        ]),
        "What the gateway says of the resource",
    )
    .ours(),
];

const USER_ATTRIBUTES: &[Attribute] = &[
    text("userName", "The principal: what the user's tokens name them by").required().unique(),
    of(
        "name",
        Kind::Complex(&[
            text("formatted", "The whole name"),
            text("familyName", "The family name"),
            text("givenName", "The given name"),
        ]),
        "The user's name",
    ),
    text("displayName", "The name to show"),
    of("active", Kind::Flag, "Whether the user is let in; true where it is not said").required(),
    of(
        "emails",
        Kind::Complex(&[
            text("value", "The address"),
            text("display", "The address to show"),
            text("type", "What it is for").usually(&["work", "home", "other"]),
            of("primary", Kind::Flag, "Whether it is the one to use"),
        ]),
        "E-mail addresses, for reading only: nobody is known by one",
    )
    .many(),
    of(
        "groups",
        Kind::Complex(&[
            text("value", "The group's id").exact().ours(),
            of("$ref", Kind::Reference(&["Group"]), "The group's address").exact().ours(),
            text("display", "The group's name").ours(),
            text("type", "Always direct").ours().usually(&["direct"]),
        ]),
        "The groups that the user is in; change them there",
    )
    .many()
    .ours(),
];

const GROUP_ATTRIBUTES: &[Attribute] = &[
    text("displayName", "The group's name in policies").required().unique(),
    of(
        "members",
        Kind::Complex(&[
            text("value", "The user's id").exact().once(),
            of("$ref", Kind::Reference(&["User"]), "The user's address").exact().once(),
            text("type", "Always User").once().usually(&["User"]),
        ]),
        "Users; a group can't be in a group",
    )
    .many(),
];

/// Attributes that RFC 7643 gives a user and that the gateway has no use for. Whoever sends them is no
/// worse off than with any other unknown attribute: they are not kept.
const UNKEPT: &[&str] = &[
    "nickName",
    "profileUrl",
    "title",
    "userType",
    "preferredLanguage",
    "locale",
    "timezone",
    "password",
    "phoneNumbers",
    "ims",
    "photos",
    "addresses",
    "entitlements",
    "roles",
    "x509Certificates",
    "middleName",
    "honorificPrefix",
    "honorificSuffix",
];

/// A kind of resource (RFC 7643, section 6).
#[derive(Debug)]
pub struct Type {
    /// Its name.
    pub name: &'static str,
    /// Its endpoint.
    pub endpoint: &'static str,
    /// Its schema.
    pub schema: &'static str,
    /// What the schema has.
    pub attributes: &'static [Attribute],
    about: &'static str,
}

/// Users.
pub static USERS: Type =
    Type { name: "User", endpoint: "/Users", schema: USER, attributes: USER_ATTRIBUTES, about: "People" };
/// Groups.
pub static GROUPS: Type =
    Type { name: "Group", endpoint: "/Groups", schema: GROUP, attributes: GROUP_ATTRIBUTES, about: "Groups of people" };

impl Type {
    /// An attribute by its name, whatever its case.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        find(self.attributes, name).or_else(|| find(COMMON, name))
    }

    /// Whether a name is an attribute that is known and not kept.
    #[must_use]
    pub fn is_unkept(&self, name: &str) -> bool {
        self.name == "User" && UNKEPT.iter().any(|unkept| unkept.eq_ignore_ascii_case(name))
    }

    /// Its entry in `/Schemas`.
    #[must_use]
    pub fn told(&self, base: &str) -> Value {
        let location = format!("{base}/Schemas/{}", self.schema);
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
            "id": self.schema, "name": self.name, "description": self.about,
            "attributes": self.attributes.iter().map(Attribute::told).collect::<Value>(),
            "meta": { "resourceType": "Schema", "location": location },
        })
    }

    /// Its entry in `/ResourceTypes`.
    #[must_use]
    pub fn told_as_type(&self, base: &str) -> Value {
        let location = format!("{base}/ResourceTypes/{}", self.name);
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
            "id": self.name, "name": self.name, "description": self.about, "endpoint": self.endpoint,
            "schema": self.schema, "schemaExtensions": [],
            "meta": { "resourceType": "ResourceType", "location": location },
        })
    }
}
