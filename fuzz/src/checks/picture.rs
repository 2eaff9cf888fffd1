use nin_serve::preprocess::{
    self, ChannelOrder, Channels, Filter, Framing, Header, InputSpec, PictureError, Polarity,
    Region, Resize,
};

/// Small, so that a run is short; the limit itself is tested elsewhere.
const MAX_PIXELS: u64 = 1 << 18;

/// Any bytes as a picture. What is one gives as many bytes as the network takes, from a region that
/// is somewhere, the same ones each time; what is none is told in one of three ways.
pub fn picture(bytes: &[u8]) {
    let header = match Header::read(bytes, MAX_PIXELS) {
        Ok(header) => header,
        Err(error) => return assert_told(&error),
    };
    let pixels = u64::from(header.width) * u64::from(header.height);
    assert!((1..=MAX_PIXELS).contains(&pixels), "{header:?}");
    assert!(header.decoded_bytes >= 3 * pixels, "{header:?}");
    for spec in [colour(32, 24), colour(4, 3), colour(2, 1), digit()] {
        match preprocess::prepare(bytes, &header, &spec) {
            Ok(prepared) => {
                assert_eq!(prepared.pixels.len(), spec.bytes());
                assert_somewhere(prepared.region);
            }
            Err(error) => assert_told(&error),
        }
    }
    match preprocess::view(bytes, &header, [255; 3], (16, 12)) {
        Ok(view) => assert_eq!(view.dimensions(), (16, 12)),
        Err(error) => assert_told(&error),
    }
}

fn assert_told(error: &PictureError) {
    let text = error.to_string();
    assert!(text.len() < 1000, "{} bytes on what is wrong: {text}", text.len());
}

fn assert_somewhere(region: Region) {
    let Region { x, y, width, height } = region;
    assert!(x.is_finite() && y.is_finite(), "{region:?}");
    assert!(width.is_finite() && width > 0.0, "{region:?}");
    assert!(height.is_finite() && height > 0.0, "{region:?}");
}

/// As for photographs. JPEGs of six times the size and more are not decoded in full.
fn colour(width: u32, height: u32) -> InputSpec {
    InputSpec {
        width,
        height,
        channels: Channels::Colour,
        order: ChannelOrder::Bgr,
        resize: Resize::Crop,
        filter: Filter::Bilinear,
        background: [255; 3],
        polarity: Polarity::Keep,
        framing: Framing::Whole,
        scale: 1.0 / 255.0,
        mean: vec![0.5; 3],
        std: vec![0.25; 3],
    }
}

/// As for handwriting.
fn digit() -> InputSpec {
    InputSpec {
        width: 28,
        height: 28,
        channels: Channels::Grey,
        order: ChannelOrder::Rgb,
        resize: Resize::Squash,
        polarity: Polarity::Auto,
        framing: Framing::Ink,
        mean: vec![0.5],
        std: vec![0.25],
        ..colour(32, 24)
    }
}
