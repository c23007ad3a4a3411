//! The Secret: where it is, and what stands in it.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use crate::kubernetes::labels;

use super::{Content, Paths};

/// Where the paths stand.
const PATHS: &str = "webhook-paths";

/// Where the Secret is, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The namespace that Castoff runs in.
    pub namespace: String,
    /// The Secret's name.
    pub secret: String,
    /// The Service by which the API server reaches Castoff.
    pub service: String,
    /// Further names and addresses that the certificate is for: where the API server is given a URL.
    pub further_names: Vec<String>,
    /// Whether certificates are kept in it; else others make them.
    pub certificates: bool,
    /// Whether paths are kept in it; else others say which.
    pub paths: bool,
}

impl Place {
    /// The usual names in this namespace.
    #[must_use]
    pub fn new(namespace: &str) -> Self {
        Place {
            namespace: namespace.to_owned(),
            secret: "castoff-tls".to_owned(),
            service: "castoff".to_owned(),
            further_names: Vec::new(),
            certificates: true,
            paths: true,
        }
    }

    /// Whether the Secret is needed at all.
    pub(crate) fn keeps_something(&self) -> bool {
        self.certificates || self.paths
    }

    /// The names that the certificate is for.
    pub(super) fn names(&self) -> Vec<String> {
        let Place { namespace, service, further_names, .. } = self;
        // The API server asks for the first.
        let mut names = vec![
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
            format!("{service}.{namespace}"),
            service.clone(),
        ];
        names.extend(further_names.iter().cloned());
        names
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub certificates: Content,
    pub paths: Paths,
}

impl Held {
    pub(super) fn read(secret: &Secret) -> Self {
        let text = |key: &str| {
            let data = secret.data.as_ref().and_then(|data| data.get(key))?;
            // What is not text is no PEM, and is made anew.
            Some(String::from_utf8(data.0.clone()).unwrap_or_default())
        };
        let certificates = Content {
            bundle: text("ca.crt").unwrap_or_default(),
            authority_key: text("ca.key").unwrap_or_default(),
            certificate: text("tls.crt").unwrap_or_default(),
            key: text("tls.key").unwrap_or_default(),
        };
        let paths = match text(PATHS) {
            Some(text) => Paths::read(&text),
            None if certificates.bundle.is_empty() => Paths::default(),
            None => Paths::of_before(),
        };
        Held { certificates, paths }
    }

    /// The Secret with this in it, and all else as it was.
    pub(super) fn write(&self, mut secret: Secret, place: &Place) -> Secret {
        let Content { bundle, authority_key, certificate, key } = &self.certificates;
        secret.metadata.name = Some(place.secret.clone());
        secret.metadata.namespace = Some(place.namespace.clone());
        secret.metadata.labels.get_or_insert_with(BTreeMap::new).extend(labels());
        let data = secret.data.get_or_insert_with(BTreeMap::new);
        let mut put = |name: &str, text: &str| data.insert(name.to_owned(), ByteString(text.as_bytes().to_vec()));
        if place.certificates {
            for (name, text) in
                [("ca.crt", bundle), ("ca.key", authority_key), ("tls.crt", certificate), ("tls.key", key)]
            {
                put(name, text);
            }
        }
        if place.paths {
            put(PATHS, &self.paths.write());
        }
        secret
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use jiff::Timestamp;

    use super::super::{Lives, renew};
    use super::*;

    fn held(place: &Place) -> Held {
        let (lives, now) = (Lives::default(), Timestamp::now());
        let (certificates, _) = renew(&Content::default(), &place.names(), &lives, now).unwrap();
        let (paths, _) = Paths::default().renew(&lives, now).unwrap();
        Held { certificates, paths }
    }

    #[test]
    fn a_secret_keeps_what_others_put_into_it() {
        let place = Place::new("castoff-system");
        let mut secret = Secret::default();
        secret.metadata.resource_version = Some("7".to_owned());
        secret.data = Some(BTreeMap::from([("theirs".to_owned(), ByteString(b"x".to_vec()))]));
        let held = held(&place);
        let written = held.write(secret, &place);
        assert_eq!(Held::read(&written), held);
        assert_eq!(written.data.unwrap().len(), 6);
        assert_eq!(written.metadata.resource_version.unwrap(), "7", "the write is conditional");
    }

    #[test]
    fn only_what_castoff_is_to_keep_is_written() {
        let place = Place { certificates: false, ..Place::new("castoff-system") };
        let written = held(&place).write(Secret::default(), &place);
        assert_eq!(written.data.unwrap().into_keys().collect::<Vec<_>>(), [PATHS], "cert-manager keeps the rest");
    }

    #[test]
    fn a_secret_of_before_has_the_path_of_before() {
        let place = Place { paths: false, ..Place::new("castoff-system") };
        let of_before = held(&place).write(Secret::default(), &place);
        assert_eq!(Held::read(&of_before).paths, Paths::of_before());
        assert_eq!(Held::read(&Secret::default()).paths, Paths::default());
    }

    #[test]
    fn the_certificate_is_for_the_names_of_the_service() {
        let place = Place { further_names: vec!["127.0.0.1".to_owned()], ..Place::new("castoff-system") };
        let service = "castoff.castoff-system.svc";
        assert_eq!(
            place.names(),
            [service, "castoff.castoff-system.svc.cluster.local", "castoff.castoff-system", "castoff", "127.0.0.1"]
        );
    }
}
