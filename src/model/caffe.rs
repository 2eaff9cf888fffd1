//! Reads the convolutions of a Caffe `.caffemodel`, the only form in which the published
//! Network-in-Network weights exist.
//!
//! The messages below name the few fields of `caffe.proto` that matter, with its field numbers;
//! protobuf skips the others. Both generations of the layer message are read.

use super::architecture::ConvShape;
use super::weights::{Weights, WeightsError, is_finite};
use prost::Message;
use tch::{TchError, Tensor};

#[derive(Clone, PartialEq, Message)]
pub struct NetParameter {
    #[prost(message, repeated, tag = "2")]
    pub layers: Vec<V1Layer>,
    #[prost(message, repeated, tag = "100")]
    pub layer: Vec<Layer>,
}

/// `V1LayerParameter`, written until 2014.
#[derive(Clone, PartialEq, Message)]
pub struct V1Layer {
    #[prost(string, optional, tag = "4")]
    pub name: Option<String>,
    /// `LayerType`; 4 is a convolution.
    #[prost(int32, optional, tag = "5")]
    pub kind: Option<i32>,
    #[prost(message, repeated, tag = "6")]
    pub blobs: Vec<Blob>,
}

/// `LayerParameter`.
#[derive(Clone, PartialEq, Message)]
pub struct Layer {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub kind: Option<String>,
    #[prost(message, repeated, tag = "7")]
    pub blobs: Vec<Blob>,
}

/// `BlobProto`: `[num, channels, height, width]`, or `shape` in later files.
#[derive(Clone, PartialEq, Message)]
pub struct Blob {
    #[prost(int32, optional, tag = "1")]
    pub num: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    pub channels: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    pub height: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    pub width: Option<i32>,
    #[prost(float, repeated, tag = "5")]
    pub data: Vec<f32>,
    #[prost(message, optional, tag = "7")]
    pub shape: Option<BlobShape>,
}

#[derive(Clone, PartialEq, Message)]
pub struct BlobShape {
    #[prost(int64, repeated, tag = "1")]
    pub dim: Vec<i64>,
}

#[derive(Debug, thiserror::Error)]
pub enum CaffeError {
    #[error("not a Caffe network: {0}")]
    Unreadable(#[from] prost::DecodeError),
    #[error("{found} convolutions with weights, the architecture has {expected}: {names}")]
    Count { found: usize, expected: usize, names: String },
    #[error("layer {layer} has {found} blobs, expected weight and bias")]
    Blobs { layer: String, found: usize },
    #[error("{0}")]
    Weights(#[from] WeightsError),
}

const V1_CONVOLUTION: i32 = 4;

/// Takes the convolutions of `bytes`, in their order, as the weights of `shapes`.
///
/// Caffe keeps weights as `[filters, channels, kernel, kernel]` and convolves without flipping, as
/// libtorch does: the numbers go over as they are.
pub fn read(bytes: &[u8], shapes: &[ConvShape]) -> Result<Weights, CaffeError> {
    let convolutions = convolutions(NetParameter::decode(bytes)?);
    if convolutions.len() != shapes.len() {
        let names: Vec<_> = convolutions.iter().map(|(name, _)| name.as_str()).collect();
        let (found, expected, names) = (convolutions.len(), shapes.len(), names.join(", "));
        return Err(CaffeError::Count { found, expected, names });
    }
    let mut weights = Vec::with_capacity(shapes.len());
    for ((layer, blobs), shape) in convolutions.iter().zip(shapes) {
        let [weight, bias] = blobs.as_slice() else {
            return Err(CaffeError::Blobs { layer: layer.clone(), found: blobs.len() });
        };
        let filters = [shape.filters as usize];
        weights.push((
            tensor(weight, format!("{layer} (weight)"), &shape.weight())?,
            tensor(bias, format!("{layer} (bias)"), &filters)?,
        ));
    }
    Ok(Weights { convolutions: weights })
}

/// Name and blobs of every convolution that has weights.
fn convolutions(net: NetParameter) -> Vec<(String, Vec<Blob>)> {
    let old = net.layers.into_iter().filter(|layer| layer.kind == Some(V1_CONVOLUTION));
    let old = old.map(|layer| (layer.name.unwrap_or_default(), layer.blobs));
    let new = net.layer.into_iter().filter(|layer| layer.kind.as_deref() == Some("Convolution"));
    let new = new.map(|layer| (layer.name.unwrap_or_default(), layer.blobs));
    old.chain(new).filter(|(_, blobs)| !blobs.is_empty()).collect()
}

fn tensor(blob: &Blob, name: String, expected: &[usize]) -> Result<Tensor, WeightsError> {
    let found = blob.sides();
    // Old files write a bias as [1, 1, 1, filters].
    let significant = |sides: &[usize]| -> Vec<usize> {
        sides.iter().copied().skip_while(|&side| side == 1).collect()
    };
    let fits = significant(&found) == significant(expected);
    if !fits || blob.data.len() != expected.iter().product::<usize>() {
        return Err(WeightsError::Shape { name, found, expected: expected.to_vec() });
    }
    let sides: Vec<i64> = expected.iter().map(|&side| side as i64).collect();
    let tensor = view(&blob.data, &sides)?;
    if !is_finite(&tensor)? {
        return Err(WeightsError::NotFinite { name });
    }
    Ok(tensor)
}

fn view(data: &[f32], sides: &[i64]) -> Result<Tensor, TchError> {
    Tensor::f_from_slice(data)?.f_view(sides)
}

impl Blob {
    fn sides(&self) -> Vec<usize> {
        match &self.shape {
            Some(shape) => shape.dim.iter().map(|&side| side.max(0) as usize).collect(),
            None => [self.num, self.channels, self.height, self.width]
                .map(|side| side.unwrap_or(0).max(0) as usize)
                .to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [ConvShape; 2] = [
        ConvShape { filters: 2, channels: 3, kernel: 1 },
        ConvShape { filters: 1, channels: 2, kernel: 1 },
    ];

    fn old_blob(sides: [i32; 4], data: &[f32]) -> Blob {
        let [num, channels, height, width] = sides.map(Some);
        Blob { num, channels, height, width, data: data.to_vec(), shape: None }
    }

    fn old_layer(name: &str, kind: i32, blobs: Vec<Blob>) -> V1Layer {
        V1Layer { name: Some(name.into()), kind: Some(kind), blobs }
    }

    fn old_net() -> NetParameter {
        let first = vec![
            old_blob([2, 3, 1, 1], &[1., 2., 3., 4., 5., 6.]),
            old_blob([1, 1, 1, 2], &[7., 8.]),
        ];
        let second = vec![old_blob([1, 2, 1, 1], &[9., 10.]), old_blob([1, 1, 1, 1], &[11.])];
        let layers = vec![
            old_layer("data", 12, vec![]),
            old_layer("conv1", 4, first),
            old_layer("relu1", 18, vec![]),
            old_layer("cccp1", 4, second),
        ];
        NetParameter { layers, layer: vec![] }
    }

    #[test]
    fn old_files_give_their_convolutions_in_order() {
        let weights = read(&old_net().encode_to_vec(), &SHAPES).expect("a whole network");
        let (weight, bias) = &weights.convolutions[0];
        assert_eq!(weight.double_value(&[1, 2, 0, 0]), 6.0);
        assert_eq!(bias.double_value(&[1]), 8.0);
        assert_eq!(weights.convolutions[1].0.double_value(&[0, 1, 0, 0]), 10.0);
    }

    #[test]
    fn later_files_name_shapes_and_types() {
        let blob = |dim: &[i64], data: &[f32]| Blob {
            data: data.to_vec(),
            shape: Some(BlobShape { dim: dim.to_vec() }),
            ..Blob::default()
        };
        let layer = |name: &str, blobs| Layer {
            name: Some(name.into()),
            kind: Some("Convolution".into()),
            blobs,
        };
        let first = vec![blob(&[2, 3, 1, 1], &[0.5; 6]), blob(&[2], &[1.0; 2])];
        let second = vec![blob(&[1, 2, 1, 1], &[0.5; 2]), blob(&[1], &[1.0])];
        let net =
            NetParameter { layers: vec![], layer: vec![layer("a", first), layer("b", second)] };
        assert!(read(&net.encode_to_vec(), &SHAPES).is_ok());
    }

    #[test]
    fn a_network_of_another_shape_is_named() {
        let mut net = old_net();
        net.layers[1].blobs[0].num = Some(3);
        let error = read(&net.encode_to_vec(), &SHAPES).expect_err("wrong shape").to_string();
        assert!(error.contains("conv1") && error.contains("[2, 3, 1, 1]"), "{error}");
        net.layers.pop();
        let error = read(&net.encode_to_vec(), &SHAPES).expect_err("too few").to_string();
        assert!(error.contains("1 convolutions") && error.contains("conv1"), "{error}");
        assert!(read(b"GIF89a and no network", &SHAPES).is_err());
    }
}
