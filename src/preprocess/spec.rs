//! What a network wants to be fed: the `[input]` table of `model.toml`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The input contract of a model. The picture side (all but `scale`, `mean`, `std`) is carried out
/// by [`super::prepare`]; the value side, `(pixel * scale - mean) / std`, by the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(
    description = "How a model is fed: the picture is brought to this size and form; then each \
    value is `(pixel * scale - mean) / std`."
)]
pub struct InputSpec {
    /// Pixels, 1 to 4096.
    pub width: u32,
    /// Pixels, 1 to 4096.
    pub height: u32,
    #[schema(value_type = u8)]
    pub channels: Channels,
    #[serde(default)]
    pub order: ChannelOrder,
    #[serde(default)]
    pub resize: Resize,
    #[serde(default)]
    pub filter: Filter,
    /// What shows through transparent pixels, RGB.
    #[serde(default = "white")]
    pub background: [u8; 3],
    #[serde(default)]
    pub polarity: Polarity,
    #[serde(default)]
    pub framing: Framing,
    /// Multiplies the 0–255 pixel value before `mean` is taken off.
    #[serde(default = "unit_scale")]
    pub scale: f32,
    /// One value per channel, in the network's channel order, in units of `pixel * scale`.
    pub mean: Vec<f32>,
    /// One value per channel, finite and above zero.
    pub std: Vec<f32>,
}

impl InputSpec {
    /// RGB or grey as it comes, squashed to size, nothing normalised.
    pub fn plain(width: u32, height: u32, channels: Channels) -> Self {
        Self {
            width,
            height,
            channels,
            order: ChannelOrder::default(),
            resize: Resize::default(),
            filter: Filter::default(),
            background: white(),
            polarity: Polarity::default(),
            framing: Framing::default(),
            scale: unit_scale(),
            mean: vec![0.0; channels.count()],
            std: vec![1.0; channels.count()],
        }
    }

    /// Width and height.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Bytes of one prepared picture, `height * width * channels`.
    pub fn bytes(&self) -> usize {
        self.width as usize * self.height as usize * self.channels.count()
    }
}

fn white() -> [u8; 3] {
    [255; 3]
}

fn unit_scale() -> f32 {
    1.0 / 255.0
}

/// Written as the number 1 or 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Channels {
    Grey,
    Colour,
}

impl Channels {
    pub fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Colour => 3,
        }
    }
}

impl TryFrom<u8> for Channels {
    type Error = String;

    fn try_from(count: u8) -> Result<Self, String> {
        match count {
            1 => Ok(Self::Grey),
            3 => Ok(Self::Colour),
            other => Err(format!("channels must be 1 or 3, not {other}")),
        }
    }
}

impl From<Channels> for u8 {
    fn from(channels: Channels) -> u8 {
        channels.count() as u8
    }
}

/// The order of the colour channels that the network was trained on. Caffe's networks are BGR.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    #[default]
    Rgb,
    Bgr,
}

/// How a picture of another aspect ratio is brought to the input size.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Both sides are scaled on their own; the aspect ratio is given up.
    #[default]
    Squash,
    /// The largest centred rectangle of the input's aspect ratio is cut out and scaled.
    Crop,
}

/// The resampling filter, antialiased: its support grows with the scale, as in Pillow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    #[default]
    Bilinear,
}

/// Whether strokes are light on dark or dark on light.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Polarity {
    /// The picture is taken as it is.
    #[default]
    Keep,
    /// Dark strokes on a light ground are inverted, so that the network sees light on dark.
    Auto,
}

/// Which part of the picture is shown to the network.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// All of it.
    #[default]
    Whole,
    /// The strokes: the ground is evened out, and the ink scaled into the middle 20 of 28 parts
    /// with its centre of mass in the centre, as the makers of MNIST did.
    Ink,
}
