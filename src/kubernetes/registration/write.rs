//! Writes the registration, and tells people of it.

use std::fmt::Write;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch as Body, PatchParams, PostParams};
use kube::runtime::events::{Event, EventType};

use crate::kubernetes::cache::chain;
use crate::kubernetes::events::LONGEST_NOTE;
use crate::kubernetes::{ApiError, failed, is_conflict, is_not_found};

use super::{MANAGER, NAME, Patch, Registration};

const WHAT: &str = "the ValidatingWebhookConfiguration castoff";

impl Registration {
    pub(super) async fn create(&self, configuration: &ValidatingWebhookConfiguration) -> Result<(), ApiError> {
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        match self.configurations().create(&parameters, configuration).await {
            Ok(_) => {
                tracing::info!(name = NAME, "registered with the API server");
                self.metrics.writes.with_label_values(&["created"]).inc();
                Ok(())
            }
            // The watch brings it.
            Err(error) if is_conflict(&error) => Ok(()),
            Err(error) => Err(failed(WHAT)(error)),
        }
    }

    pub(super) async fn patch(
        &self,
        patch: Patch,
        live: Option<&ValidatingWebhookConfiguration>,
    ) -> Result<(), ApiError> {
        let Patch { body, replaces, whys, editor } = patch;
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let body = if replaces { Body::Merge(body) } else { Body::Strategic(body) };
        match self.configurations().patch(NAME, &parameters, &body).await {
            Ok(_) => {}
            // Somebody has written, or deleted it: the watch brings what is there now.
            Err(error) if is_conflict(&error) || is_not_found(&error) => return Ok(()),
            Err(error) => return Err(failed(WHAT)(error)),
        }
        let mut text = String::new();
        for why in &whys {
            self.metrics.writes.with_label_values(&[why.word()]).inc();
            // Writing to a text does not fail.
            let _ = write!(text, "{}{why}", if text.is_empty() { "" } else { "; " });
        }
        tracing::info!(name = NAME, why = text, editor, "the registration has changed");
        if let Some(editor) = editor {
            let note = format!("put back after {editor} had written it: {text}");
            self.event(EventType::Warning, "RegistrationPutBack", "PutBack", note, live).await;
        }
        Ok(())
    }

    /// An event on the registration; where it can't be written the log has it.
    pub(super) async fn event(
        &self,
        type_: EventType,
        reason: &str,
        action: &str,
        note: String,
        live: Option<&ValidatingWebhookConfiguration>,
    ) {
        tracing::warn!(name = NAME, reason, note, "event");
        let reference = ObjectReference {
            api_version: Some("admissionregistration.k8s.io/v1".to_owned()),
            kind: Some("ValidatingWebhookConfiguration".to_owned()),
            name: Some(NAME.to_owned()),
            uid: live.and_then(|live| live.metadata.uid.clone()),
            ..ObjectReference::default()
        };
        let note = Some(self.settings.runbook.message(&note, reason, LONGEST_NOTE));
        let event = Event { type_, reason: reason.to_owned(), note, action: action.to_owned(), secondary: None };
        if let Err(error) = self.recorder.publish(&event, &reference).await {
            tracing::warn!(error = %chain(&error), reason, "the event could not be written");
        }
    }
}
