//! What the service holds at the moment of a scrape.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::service::Service;

/// Reads the service's gauges.
pub struct ServiceGauges(pub Arc<Service>);

impl fmt::Debug for ServiceGauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceGauges")
    }
}

impl Collector for ServiceGauges {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let models = self.0.models().current();
        let mut family = encoder.encode_descriptor(
            "queue_depth",
            "Pictures that wait for the network",
            None,
            MetricType::Gauge,
        )?;
        for model in models.iter() {
            let depth = ConstGauge::new(model.batcher.stats().depth as i64);
            let labels = [("model", model.info.name.as_str())];
            depth.encode(family.encode_family(&labels)?)?;
        }
        let mut family =
            encoder.encode_descriptor("model", "Models in service", None, MetricType::Info)?;
        for model in models.iter() {
            let info = &model.info;
            let labels = [
                ("model", info.name.clone()),
                ("precision", info.precision.to_string()),
                ("parameters", info.parameters.to_string()),
                ("weights_sha256", info.weights_sha256.clone()),
            ];
            family.encode_info(&labels)?;
        }
        let in_flight = ConstGauge::new(self.0.budget().in_flight() as i64);
        let family = encoder.encode_descriptor(
            "inflight",
            "Memory that requests hold: bodies, decoded pictures, queues",
            Some(&Unit::Bytes),
            MetricType::Gauge,
        )?;
        in_flight.encode(family)?;
        let waiting = ConstGauge::new(self.0.decode_load().waiting as i64);
        let family = encoder.encode_descriptor(
            "decode_queue_depth",
            "Pictures that wait for a decoding thread",
            None,
            MetricType::Gauge,
        )?;
        waiting.encode(family)
    }
}
