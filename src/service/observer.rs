use super::{Classification, ServiceError};

/// Told what came of every picture, unless its client hung up. Called on the runtime: it must
/// not block.
pub trait PictureObserver: Send + Sync + 'static {
    fn ended(&self, model: &str, outcome: Result<&Classification, &ServiceError>) {
        let _ = (model, outcome);
    }
}

/// Observes nothing.
impl PictureObserver for () {}
