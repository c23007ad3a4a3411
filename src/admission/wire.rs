//! The fields of an AdmissionReview that are read. Whatever else a review holds is skipped.

use serde::Deserialize;

use crate::pod::Text;

/// A review whose objects are of these types: the pod's, or none to tell whether the review is ours at all.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a, Evicted: Deserialize<'de>, Old: Deserialize<'de>, Options: Deserialize<'de>"))]
#[serde(rename_all = "camelCase")]
pub(super) struct Review<'a, Evicted, Old, Options> {
    pub(super) kind: Option<Text<'a>>,
    pub(super) api_version: Option<Text<'a>>,
    pub(super) request: Option<Body<'a, Evicted, Old, Options>>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a, Evicted: Deserialize<'de>, Old: Deserialize<'de>, Options: Deserialize<'de>"))]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a, Evicted, Old, Options> {
    pub(super) uid: Option<Text<'a>>,
    pub(super) resource: Option<Resource<'a>>,
    pub(super) sub_resource: Option<Text<'a>>,
    pub(super) name: Option<Text<'a>>,
    pub(super) namespace: Option<Text<'a>>,
    pub(super) operation: Option<Text<'a>>,
    pub(super) user_info: Option<UserInfo<'a>>,
    pub(super) object: Option<Evicted>,
    pub(super) old_object: Option<Old>,
    pub(super) dry_run: Option<bool>,
    pub(super) options: Option<Options>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Resource<'a> {
    pub(super) group: Text<'a>,
    pub(super) resource: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct UserInfo<'a> {
    pub(super) username: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Eviction<'a> {
    pub(super) metadata: EvictionMetadata<'a>,
    pub(super) delete_options: Option<DeleteOptions<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct EvictionMetadata<'a> {
    pub(super) name: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct DeleteOptions<'a> {
    pub(super) grace_period_seconds: Option<i64>,
    pub(super) preconditions: Option<Preconditions<'a>>,
    pub(super) dry_run: Option<Vec<Text<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Preconditions<'a> {
    pub(super) uid: Option<Text<'a>>,
}
