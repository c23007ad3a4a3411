//! When certificates end, for people: a metric, and a remark for readiness.

use jiff::{SignedDuration, Timestamp};
use prometheus::{IntGaugeVec, Registry};

use crate::metrics::{CERTIFICATE_ENDS, Labels};

use super::Certificates;
use super::authority::{self, Validity};

/// A certificate that has less left than this was not renewed as it should have been, by whoever renews it.
const SHORT: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The gauges of when certificates end.
#[derive(Clone, Debug)]
pub struct Expiry(IntGaugeVec);

impl Expiry {
    /// Adds the gauges to the metrics.
    ///
    /// # Errors
    /// When they are there already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauges = CERTIFICATE_ENDS.gauges(Labels::None)?;
        registry.register(Box::new(gauges.clone()))?;
        Ok(Expiry(gauges))
    }

    /// Takes down when the certificate that is served ends, and the first CA of the bundle (PEM), where there is one.
    /// Gives a remark for people when one of them is over, or so near its end that its renewal must have failed.
    #[must_use]
    pub fn note(&self, served: &Certificates, bundle: Option<&str>, now: Timestamp) -> Option<String> {
        let end_entity = served.validity();
        let authorities = authority::split(bundle.unwrap_or_default());
        let authority = authorities.iter().filter_map(|pem| Validity::of(pem).ok()).min_by_key(|read| read.until);
        let ends = [("server", end_entity), ("ca", authority)].map(|(name, read)| {
            let read = read?;
            self.0.with_label_values(&[name]).set(read.until.as_second());
            remark(name, read, now)
        });
        ends.into_iter().flatten().next()
    }
}

fn remark(name: &str, read: Validity, now: Timestamp) -> Option<String> {
    let (left, life) = (read.until.duration_since(now), read.until.duration_since(read.from));
    match left {
        left if left <= SignedDuration::ZERO => Some(format!("the {name} certificate is over since {:.0}", read.until)),
        left if left < SHORT.min(life / 6) => {
            Some(format!("the {name} certificate ends {:.0} and was not renewed", read.until))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::trust::authority::Authority;

    #[test]
    fn the_end_of_each_certificate_is_a_metric_and_a_remark_when_it_is_near() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (ends, later) = (at("2030-04-01T00:00:00Z"), at("2031-01-01T00:00:00Z"));
        let from = at("2030-01-01T00:00:00Z");
        let authority = Authority::make("one", Some(Validity { from, until: later })).unwrap();
        let pair = authority.issue(&["a".to_owned()], Some(Validity { from, until: ends })).unwrap();
        let served = Certificates::none_yet();
        served.serve(pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap();
        let registry = Registry::new();
        let expiry = Expiry::register(&registry).unwrap();
        let note = |now: &str| expiry.note(&served, Some(authority.certificate()), at(now));
        assert_eq!(note("2030-02-01T00:00:00Z"), None);
        assert_eq!(
            note("2030-03-28T00:00:00Z").unwrap(),
            "the server certificate ends 2030-04-01T00:00:00Z and was not renewed"
        );
        assert_eq!(note("2030-04-01T00:00:00Z").unwrap(), "the server certificate is over since 2030-04-01T00:00:00Z");
        let gauge = |name: &str| expiry.0.with_label_values(&[name]).get();
        assert_eq!((gauge("server"), gauge("ca")), (ends.as_second(), later.as_second()));
    }
}
