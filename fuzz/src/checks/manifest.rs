use nin_serve::model::folder::parse_manifest;
use nin_serve::model::weights::Weights;

/// The largest networks whose weights are looked for.
const MOST_PARAMETERS: u64 = 1 << 16;

/// Any bytes up to the first NUL as `model.toml`, those after it as `weights.safetensors`. A
/// description that is taken can be computed with, and is the same after it was written out.
pub fn manifest(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0);
    let (text, weights) = end.map_or((bytes, &[][..]), |end| (&bytes[..end], &bytes[end + 1..]));
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok((manifest, architecture)) = parse_manifest(text) else { return };
    let channels = manifest.input.channels.count() as u32;
    let shapes = architecture.convolutions(channels);
    assert_eq!(shapes.last().map(|shape| shape.filters), Some(manifest.classes));
    let (width, height) = (manifest.input.width, manifest.input.height);
    let size = architecture.map_size(width, height).expect("it was checked");
    assert!(size.0 > 0 && size.1 > 0, "{size:?}");
    let grid = architecture.map_grid();
    assert!(grid.stride >= 1.0 && !grid.offset.is_nan(), "{grid:?}");
    let parameters = architecture.parameters(channels);
    assert!(parameters > 0);
    if parameters <= MOST_PARAMETERS
        && let Ok(weights) = Weights::read(weights, &shapes)
    {
        assert_eq!(weights.convolutions.len(), shapes.len());
    }
}
