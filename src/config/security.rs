//! Who may do what: keys, and the web pages that may call.

use std::fmt;
use std::str::FromStr;

use axum::http::HeaderValue;

use crate::http::{DOCS, Guard, OPEN, PAGE};
use crate::metrics::METRICS;

/// Who may do what.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Security")]
pub struct SecurityConfig {
    /// Ask for this key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`, on all routes but
    /// health and metrics. The variable is safer: others see the flags of a process
    #[arg(long, value_name = "KEY", env = "NIN_API_KEY", hide_env_values = true)]
    pub api_key: Option<ApiKey>,

    /// Turn on reloading, loading and unloading of models, for those who have this key
    #[arg(long, value_name = "KEY", env = "NIN_ADMIN_KEY", hide_env_values = true)]
    pub admin_key: Option<ApiKey>,

    /// Who may read `/metrics`
    #[arg(long, value_name = "WHO", env = "NIN_METRICS_ACCESS", default_value = "open")]
    pub metrics_access: MetricsAccess,

    /// Let web pages of this origin call the service, such as `https://example.org`, or `*` for
    /// all. May be given several times, or separated by commas
    #[arg(long, value_name = "ORIGIN", env = "NIN_CORS_ORIGIN", value_delimiter = ',')]
    #[arg(value_parser = origin)]
    pub cors_origin: Vec<HeaderValue>,
}

impl SecurityConfig {
    pub fn guard(&self) -> Guard {
        let mut open = [&OPEN[..], &PAGE, &DOCS].concat();
        if self.metrics_access == MetricsAccess::Open {
            open.push(METRICS);
        }
        let (api_key, admin_key) = (self.api_key.clone(), self.admin_key.clone());
        Guard { api_key, admin_key, open, cors_origins: self.cors_origin.clone() }
    }
}

/// What a browser sends as `Origin`: scheme, host and perhaps port, without a path.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    if text != "*" && !rest.is_some_and(|rest| !rest.is_empty() && !rest.contains('/')) {
        return Err("an origin is like https://example.org, without a path, or *".to_owned());
    }
    text.parse().map_err(|_| "not ASCII".to_owned())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum MetricsAccess {
    /// Everyone
    Open,
    /// Those who have the API key
    Key,
    /// Nobody
    Off,
}

/// A secret that a client must show. It can't be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

impl FromStr for ApiKey {
    type Err = &'static str;

    fn from_str(key: &str) -> Result<Self, Self::Err> {
        let printable = key.bytes().all(|byte| byte.is_ascii_graphic());
        if key.is_empty() || !printable {
            return Err("a key is one or more ASCII characters without spaces");
        }
        Ok(Self(key.to_owned()))
    }
}
