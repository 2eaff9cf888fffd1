use super::tensor::Datatype;

/// What is wrong with the tensors of a request. All of it is the client's to mend: 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TensorError {
    #[error("the header is not the JSON of an inference request: {0}")]
    Json(String),
    #[error("Inference-Header-Content-Length is {length:?}; the body has {body} bytes")]
    HeaderLength { length: String, body: usize },
    #[error("a request has one input, \"image\" or \"pixels\"; this one has {0}")]
    Inputs(usize),
    #[error("there is no input {0:?}; there are \"image\" and \"pixels\"")]
    UnknownInput(String),
    #[error("there is no output {0:?}; there are \"probabilities\", \"labels\" and \"logits\"")]
    UnknownOutput(String),
    #[error("output {0:?} is asked for twice")]
    OutputTwice(&'static str),
    #[error("output \"labels\" has no classification; ask for that of \"probabilities\"")]
    LabelsClassified,
    #[error("input {input:?} is {expected}, not {found:?}")]
    Datatype { input: &'static str, expected: &'static str, found: String },
    #[error("input {input:?} has shape {found:?}, expected {expected}")]
    Shape { input: &'static str, found: Vec<i64>, expected: String },
    #[error("{count} pictures in one request; at most {limit} are taken")]
    TooMany { count: i64, limit: usize },
    #[error("input {input:?} has neither data nor binary_data_size")]
    NoData { input: &'static str },
    #[error("input {input:?} has both data and binary data")]
    TwoData { input: &'static str },
    #[error("shared memory is not supported; send the data in the request")]
    SharedMemory,
    #[error("input {input:?}: {detail}")]
    Data { input: &'static str, detail: String },
    #[error(
        "input {input:?} has {found} bytes of data, its shape and {datatype} ask for {expected}"
    )]
    Size { input: &'static str, datatype: Datatype, found: usize, expected: usize },
    #[error("the binary part has {found} bytes, the inputs announce {announced}")]
    BinaryPart { found: usize, announced: u64 },
}
