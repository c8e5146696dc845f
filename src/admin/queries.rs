//! `/queries`: what statements have cost, by their digest; the console's SHOW QUERIES.
//!
//! A digest's text has no values of the statement in it.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::{AdminState, Word, failed, json, number};
use crate::metrics::{DigestRow, Metrics};

/// Rows without a `limit=`.
const ROWS: u64 = 100;

/// The most rows of an answer: some 15 MiB where all texts are as long as may be.
const MAX_ROWS: u64 = 10_000;

/// What `/queries` says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Queries {
    /// The most time first.
    pub queries: Vec<Query>,
}

/// The executions of one digest in one schema, since the start or RESET STATISTICS. Times are from the
/// command to the last byte of the response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// `None`: in no schema.
    pub schema: Option<String>,
    /// lagwise's number for it, in hexadecimal; `None` for the row of all others.
    pub digest: Option<String>,
    /// The digest's text; empty for all others.
    pub text: String,
    /// Executions.
    pub count: u64,
    /// Those that ended in an error.
    pub errors: u64,
    /// Those that a replica ran.
    pub on_replica: u64,
    /// Time of all, in milliseconds.
    pub total_ms: f64,
    /// Half took no more.
    pub p50_ms: f64,
    /// All but 5 % took no more.
    pub p95_ms: f64,
    /// All but 1 % took no more.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// Rows that clients got.
    pub rows: u64,
    /// Bytes of the responses.
    pub bytes: u64,
    /// The reason that most of its routes had, as in `lagwise_queries_total`.
    pub reason: Word,
}

impl Query {
    fn of(row: DigestRow, metrics: &Metrics) -> Self {
        // Nanoseconds to milliseconds with three digits: what is behind them is noise.
        let ms = |nanos: u64| (nanos as f64 / 1e3).round() / 1e3;
        Self {
            schema: (!row.schema.is_empty()).then(|| row.schema.to_string()),
            digest: (!row.text.is_empty()).then(|| format!("{:016x}", row.fingerprint)),
            count: row.count,
            errors: row.errors,
            on_replica: row.on_replica,
            total_ms: ms(row.nanos),
            p50_ms: ms(row.quantile_nanos(0.5)),
            p95_ms: ms(row.quantile_nanos(0.95)),
            p99_ms: ms(row.quantile_nanos(0.99)),
            max_ms: ms(row.longest_nanos),
            rows: row.rows,
            bytes: row.bytes,
            reason: metrics.reason(row.main_reason()).into(),
            text: row.text.into(),
        }
    }
}

/// GET /queries, GET /queries?limit=N
pub async fn queries(State(state): State<AdminState>, uri: Uri) -> Response {
    let most = number(&uri, "limit").unwrap_or(ROWS).min(MAX_ROWS);
    // Many rows take a while to add up, and the monitors share this thread.
    let list = move || {
        let rows = state.metrics.digests().rows().into_iter().take(most as usize);
        let queries = rows.map(|row| Query::of(row, &state.metrics)).collect();
        json(StatusCode::OK, &Queries { queries })
    };
    match tokio::task::spawn_blocking(list).await {
        Ok(response) => response,
        Err(error) => failed(&error),
    }
}
