//! Checks of a configuration beyond its types.

use super::{Config, ConfigError, TenantConfig};
use crate::wyoming::zeroconf::LONGEST_NAME;

/// Least length of a webhook's secret [bytes].
const LEAST_SECRET: usize = 16;

impl Config {
    /// Checks that the values can be, each by itself and beside the others.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key: String, message: &str| Err(ConfigError::Value { key, message: message.to_owned() });
        for (name, address) in [("listen", Some(self.listen)), ("vosk", self.vosk)] {
            if self.tenants.is_empty() && address.is_some_and(|address| !address.ip().is_loopback()) {
                return wrong(
                    name.to_owned(),
                    "without tenants anybody could use the server; listen on 127.0.0.1, or add [tenants.NAME] with keys (`hearken serve key` makes one)",
                );
            }
        }
        for (protocol, unkeyed) in [("wyoming", &self.wyoming), ("audiosocket", &self.audiosocket)] {
            let Some(unkeyed) = unkeyed else { continue };
            let known = |name: &String| self.tenants.contains_key(name);
            match &unkeyed.tenant {
                None if !self.tenants.is_empty() => {
                    return wrong(
                        format!("{protocol}.tenant"),
                        "this protocol has no keys; name the tenant whose limits its clients have",
                    );
                }
                Some(name) if !known(name) => {
                    return wrong(
                        format!("{protocol}.tenant"),
                        &format!("there is no {name:?} under [tenants]; add it, or name one that is there"),
                    );
                }
                _ => {}
            }
        }
        if let Some(name) = &self.zeroconf {
            if self.wyoming.is_none() {
                return wrong(
                    "zeroconf".to_owned(),
                    "it announces Wyoming's address; give one, `wyoming.listen`",
                );
            }
            if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
                return wrong(
                    "zeroconf".to_owned(),
                    "a name has 1 to 63 bytes and no control characters; shorten it",
                );
            }
        }
        if let Some(webhook) = &self.webhook {
            let url = webhook.url.parse::<axum::http::Uri>().ok();
            let plain = |url: &axum::http::Uri| {
                matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some()
            };
            if !url.as_ref().is_some_and(plain) {
                return wrong("webhook.url".to_owned(), "give an address such as https://example.com/calls");
            }
            if webhook.secret.len() < LEAST_SECRET {
                return wrong(
                    "webhook.secret".to_owned(),
                    "it could be guessed; give at least 16 bytes (`openssl rand -hex 32` makes some)",
                );
            }
        }
        for (name, value) in [
            ("streams", u64::from(self.streams)),
            ("connections", self.connections as u64),
            ("connections_per_address", self.connections_per_address.unwrap_or(1) as u64),
            ("uploads_mib", u64::from(self.uploads_mib)),
        ] {
            if value == 0 {
                return wrong(name.to_owned(), "nobody could use the server; give at least 1");
            }
        }
        if !(self.admission.load > 0.0 && self.admission.load <= 1.0) {
            return wrong(
                "admission.load".to_owned(),
                "it is a part of the recognizer's time; give more than 0 and at most 1, or `enabled = false`",
            );
        }
        for (name, seconds) in
            [("resume_seconds", self.resume_seconds), ("shutdown_seconds", self.shutdown_seconds)]
        {
            if seconds > 3_600 {
                return wrong(name.to_owned(), "give at most an hour, 3600");
            }
        }
        if let Some(default) = self.default_model.as_ref().filter(|name| !self.models.contains_key(*name)) {
            return wrong(
                "default_model".to_owned(),
                &format!("there is no {default:?} under [models]; add it, or name one that is there"),
            );
        }
        if self.default_model.is_none() && self.models.len() > 1 {
            return wrong("default_model".to_owned(), "there are several models; name one of them");
        }
        for (alias, model) in &self.aliases {
            if !self.models.contains_key(model) || self.models.contains_key(alias) {
                return wrong(
                    format!("aliases.{alias}"),
                    "an alias is a new name for a model under [models]; name one that is there",
                );
            }
        }
        for (name, tenant) in &self.tenants {
            self.check_tenant(name, tenant)?;
        }
        Ok(())
    }

    fn check_tenant(&self, name: &str, tenant: &TenantConfig) -> Result<(), ConfigError> {
        let wrong = |key: &str, message: String| {
            Err(ConfigError::Value { key: format!("tenants.{name}{key}"), message })
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            // The name is a label in logs and metrics.
            return wrong(
                "",
                "a tenant's name is 1 to 64 letters, digits, `-`, `_` and `.`; rename it".to_owned(),
            );
        }
        for (key, value) in [
            (".streams", tenant.streams),
            (".sandboxes", tenant.sandboxes.unwrap_or(1)),
            (".memory_mib", tenant.memory_mib.unwrap_or(1)),
            (".audio_seconds_per_minute", tenant.audio_seconds_per_minute.unwrap_or(1)),
            (".upload_mib", tenant.upload_mib),
            (".messages_mib", tenant.messages_mib),
            (".recording_minutes", tenant.recording_minutes),
            (".weight", tenant.weight),
        ] {
            if value == 0 {
                return wrong(
                    key,
                    "the tenant could do nothing; give at least 1, or take its keys away".to_owned(),
                );
            }
        }
        if tenant.uploads_mib.is_some_and(|all| all < tenant.upload_mib) {
            return wrong(
                ".uploads_mib",
                "one upload may be larger than all together; give at least `upload_mib`".to_owned(),
            );
        }
        for hash in &tenant.keys {
            let others = self.tenants.iter().filter(|(other, _)| *other != name);
            if let Some((other, _)) = others.into_iter().find(|(_, tenant)| tenant.keys.contains(hash)) {
                return wrong(".keys", format!("{other} has the same key; give each tenant its own"));
            }
        }
        let unknown = tenant.models.iter().flatten().find(|model| !self.models.contains_key(*model));
        if let Some(unknown) = unknown {
            return wrong(
                ".models",
                format!("there is no {unknown:?} under [models]; add it, or name another"),
            );
        }
        Ok(())
    }
}
