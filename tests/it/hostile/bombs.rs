use image::ImageFormat;

use super::{INK, Siege, crafted};
use crate::preprocess::picture;

/// Almost the limit of pixels.
const SIDE: u32 = 7000;
/// Above the budget, for all else that the process holds.
const BESIDES: u64 = 300 << 20;
const AT_ONCE: usize = 4;

/// The most that the process ever held, bytes.
fn most_resident(siege: &Siege) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", siege.process.id()));
    let status = status.expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a figure");
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
}

#[tokio::test]
async fn bombs_stay_within_the_budget() {
    let budget = 512 << 20;
    let siege = Siege::begin(&["--memory-budget", "512MiB"]);
    let bombs = [
        ("PNG", crafted::blank(SIDE, ImageFormat::Png)),
        ("WebP", crafted::blank(SIDE, ImageFormat::WebP)),
        ("TIFF", crafted::packed_tiff(SIDE)),
        ("GIF", crafted::wide_screen_gif(picture("still.gif"), SIDE as u16)),
        ("overfull PNG", crafted::overfull_png(SIDE)),
        ("PNG with a text", crafted::stuffed_png(*b"zTXt", SIDE)),
        ("PNG with a profile", crafted::stuffed_png(*b"iCCP", SIDE)),
    ];
    for (name, bomb) in bombs {
        assert!(bomb.len() < 4 << 20, "{name}: {} bytes are no bomb", bomb.len());
        let model = [super::COLOUR, INK];
        let requests = (0..AT_ONCE).map(|n| siege.outcome(model[n % 2], bomb.clone()));
        let outcomes = futures_util::future::join_all(requests).await;
        println!("{name}: {outcomes:?}, at most {} MiB so far", most_resident(&siege) >> 20);
        for outcome in outcomes {
            let intended = match (outcome.0, outcome.1.as_str()) {
                (200, "") | (413, "image-too-large") | (503, "overloaded") => true,
                (422, "corrupt-image") => name == "overfull PNG",
                _ => false,
            };
            assert!(intended, "{name}: {outcome:?}");
        }
        siege.assert_alive().await;
        let most = most_resident(&siege);
        assert!(most < budget + BESIDES, "{name}: {} MiB", most >> 20);
    }
}
