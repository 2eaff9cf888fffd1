//! Health, metadata, statistics, repository.

use std::time::UNIX_EPOCH;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;

use super::messages::{
    AllStatistics, BatchStatistics, Duration, Empty, HealthStatus, Index, IndexRequest,
    InferStatistics, ModelIndex, ModelMetadata, ModelRequest, ModelStatistics, RepositoryRequest,
    ServerMetadata, TensorHeader, YesOrNo,
};
use super::{Call, unary};
use crate::http::v2::{self, VERSION, metadata};
use crate::http::{Administration, Code, Problem, RequestContext, state_name};
use crate::service::{ServedModel, Total};

type Answer = Result<Response, Problem>;
type Context = Extension<RequestContext>;
type Shared = State<Administration>;

pub(super) async fn health(state: Shared, context: Context, request: Request) -> Answer {
    unary(state, context, request, async |call, _: Empty| {
        Ok(HealthStatus { status: if call.is_ready() { 1 } else { 2 } })
    })
    .await
}

pub(super) async fn server_live(state: Shared, context: Context, request: Request) -> Answer {
    unary(state, context, request, async |_, _: Empty| Ok(YesOrNo { yes: true })).await
}

pub(super) async fn server_ready(state: Shared, context: Context, request: Request) -> Answer {
    unary(state, context, request, async |call, _: Empty| Ok(YesOrNo { yes: call.is_ready() }))
        .await
}

pub(super) async fn server_metadata(state: Shared, context: Context, request: Request) -> Answer {
    unary(state, context, request, async |_, _: Empty| {
        Ok(ServerMetadata {
            name: metadata::NAME.to_owned(),
            version: metadata::SERVER_VERSION.to_owned(),
            extensions: metadata::EXTENSIONS.map(str::to_owned).to_vec(),
        })
    })
    .await
}

pub(super) async fn model_ready(state: Shared, context: Context, request: Request) -> Answer {
    unary(state, context, request, async |call, asked: ModelRequest| {
        Ok(YesOrNo { yes: call.model(&asked)?.unready().is_none() })
    })
    .await
}

pub(super) async fn model_metadata(state: Shared, context: Context, request: Request) -> Answer {
    unary(state, context, request, async |call, asked: ModelRequest| {
        let model = call.model(&asked)?;
        let header = |tensor: metadata::TensorMetadata| TensorHeader {
            name: tensor.name.to_owned(),
            datatype: tensor.datatype.as_str().to_owned(),
            shape: tensor.shape,
        };
        Ok(ModelMetadata {
            name: model.info.name.clone(),
            versions: vec![VERSION.to_owned()],
            platform: metadata::PLATFORM.to_owned(),
            inputs: metadata::inputs(&model.info).map(header).into(),
            outputs: metadata::outputs(&model.info).map(header).into(),
        })
    })
    .await
}

pub(super) async fn statistics(state: Shared, context: Context, request: Request) -> Answer {
    unary(state, context, request, async |call, asked: ModelRequest| {
        let model_stats = if asked.name.is_empty() {
            let models = call.state.api.service.models().current();
            models.iter().map(|model| statistics_of(model)).collect()
        } else {
            vec![statistics_of(&*call.model(&asked)?)]
        };
        Ok(AllStatistics { model_stats })
    })
    .await
}

pub(super) async fn index(state: Shared, context: Context, request: Request) -> Answer {
    unary(state, context, request, async |call, asked: IndexRequest| {
        let models = call.state.index().await?;
        let models = models.into_iter().filter(|(_, unready)| !asked.ready || unready.is_none());
        let models = models.map(|(name, unready)| ModelIndex {
            name,
            version: VERSION.to_owned(),
            state: state_name(unready.as_deref()).to_owned(),
            reason: unready.unwrap_or_default(),
        });
        Ok(Index { models: models.collect() })
    })
    .await
}

pub(super) async fn load(state: Shared, context: Context, request: Request) -> Answer {
    unary(state, context, request, async |call, asked: RepositoryRequest| {
        call.admin.check()?;
        if let Some(parameter) = asked.parameters.keys().next() {
            return Err(Administration::refuse_parameter(parameter));
        }
        call.state.load(&asked.model_name).await?;
        Ok(Empty {})
    })
    .await
}

pub(super) async fn unload(state: Shared, context: Context, request: Request) -> Answer {
    unary(state, context, request, async |call, asked: RepositoryRequest| {
        call.admin.check()?;
        call.state.unload(&asked.model_name).await?;
        Ok(Empty {})
    })
    .await
}

impl Call {
    fn is_ready(&self) -> bool {
        self.state.api.service.unready().is_empty()
    }

    fn model(&self, asked: &ModelRequest) -> Result<std::sync::Arc<ServedModel>, Problem> {
        if asked.name.is_empty() {
            return Err(Problem::new(Code::InvalidParameter, "the model has no name"));
        }
        v2::check_version(&asked.name, &asked.version)?;
        let models = self.state.api.service.models().current();
        Ok(std::sync::Arc::clone(models.get(Some(&asked.name))?))
    }
}

fn statistics_of(model: &ServedModel) -> ModelStatistics {
    let counts = model.statistics.counts();
    let last = counts.last_success.and_then(|last| last.duration_since(UNIX_EPOCH).ok());
    let batches = counts.batches.iter().map(|(size, run)| BatchStatistics {
        batch_size: *size as u64,
        compute_infer: duration(*run),
    });
    ModelStatistics {
        name: model.info.name.clone(),
        version: VERSION.to_owned(),
        last_inference: last.map_or(0, |last| u64::try_from(last.as_millis()).unwrap_or(u64::MAX)),
        inference_count: counts.success.count,
        execution_count: counts.batches.values().map(|run| run.count).sum(),
        inference_stats: Some(InferStatistics {
            success: duration(counts.success),
            fail: duration(counts.fail),
            queue: duration(counts.queue),
            compute_input: duration(counts.decode),
            compute_infer: duration(counts.inference),
        }),
        batch_stats: batches.collect(),
    }
}

fn duration(Total { count, time }: Total) -> Option<Duration> {
    Some(Duration { count, ns: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) })
}
