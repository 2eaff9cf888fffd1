use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Shutdown;

/// From now on the first SIGTERM or SIGINT begins draining, the second aborts.
///
/// To be called before anything slow: as process 1 of a container, a signal that comes before a
/// handler is there is lost.
pub fn listen_to_signals(shutdown: &Shutdown) -> io::Result<()> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    let switch = shutdown.clone();
    shutdown.spawn(async move {
        let name = signals.next().await;
        tracing::info!(signal = name, "draining; a second signal aborts");
        switch.begin();
        let name = signals.next().await;
        tracing::warn!(signal = name, "aborting");
        switch.abort();
    });
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
