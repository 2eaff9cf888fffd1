//! A batch in parts, each of which one thread takes through the whole network.
//!
//! Where all threads run each layer together, whoever is done waits for the others before the next one
//! begins, and longer if their processors decode pictures just then. Here they wait once, at the end, and
//! who is done takes the next part.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use tch::{TchError, Tensor};

use super::network::Network;
use super::scores::Scores;
use super::team::{Team, run_by_all};

/// Pictures of a part at most.
const MOST: i64 = 8;
/// Fewer for each thread are run layer by layer.
const FEWEST: i64 = 2;

/// A network that all threads of a team run at once.
struct Shared<'a>(&'a Network);

// SAFETY: `Network::pass` reads tensors and calls TorchScript without state of its own, which libtorch
// allows many threads to do with the same ones.
#[expect(unsafe_code, reason = "tensors are not `Sync`")]
unsafe impl Sync for Shared<'_> {}

impl Shared<'_> {
    /// With one thread for what it takes.
    fn pass(&self, part: &Tensor) -> Result<Scores, TchError> {
        Team::One.assemble(NonZeroUsize::MIN);
        self.0.pass(part)
    }
}

/// Runs `input`, `[N, C, H, W]`, in parts of [`MOST`] or fewer, about, if there is enough of it.
pub(super) fn forward(network: &Network, input: &Tensor) -> Result<Scores, TchError> {
    let pictures = input.size().first().copied().unwrap_or_default();
    let all = usize::try_from(tch::get_num_threads()).ok().and_then(NonZeroUsize::new);
    let threads = all.map_or(1, NonZeroUsize::get) as i64;
    if threads == 1 || pictures < threads * FEWEST {
        return network.pass(input);
    }
    let count = threads.max(pictures.div_euclid(MOST));
    let bound = |part: i64| part * pictures / count;
    let parts =
        (0..count).map(|part| input.f_narrow(0, bound(part), bound(part + 1) - bound(part)));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let next = Mutex::new(parts.into_iter().enumerate());
    let (network, found) = (Shared(network), Mutex::new(Vec::new()));
    run_by_all(&|| {
        let next = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some((place, part)) = next() {
            let scores = network.pass(&part);
            found.lock().unwrap_or_else(PoisonError::into_inner).push((place, scores));
        }
    });
    Team::All.assemble(all.unwrap_or(NonZeroUsize::MIN));
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(place, _)| *place);
    let found = found.into_iter().map(|(_, scores)| scores).collect::<Result<Vec<_>, _>>()?;
    Scores::joined(found)
}
