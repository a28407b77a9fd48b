//! For tests: what PostgreSQL would do with a statement.

use serde_json::Value;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use crate::run::TUNING;

/// The steps of a plan, as `Node Type` with the index or table it is over.
#[derive(Debug)]
pub(crate) struct Plan(Vec<Step>);

#[derive(Debug)]
struct Step {
    kind: String,
    over: String,
}

impl Plan {
    /// The plan that is made for these very parameters, as on the first uses of a statement.
    pub(crate) async fn custom(
        client: &Client,
        text: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Self {
        tune(client).await;
        let explain = format!("explain (format json) {text}");
        Self::read(&client.query_one(&explain, parameters).await.unwrap().get(0))
    }

    /// The plan that is made once for any parameters, as on later uses of a prepared statement.
    pub(crate) async fn generic(client: &Client, text: &str, parameters: usize) -> Self {
        client
            .batch_execute(&format!(
                "set plan_cache_mode = force_generic_plan; prepare it as {text}"
            ))
            .await
            .unwrap();
        let values = vec!["null"; parameters].join(", ");
        let explain = format!("explain (format json) execute it ({values})");
        let plan = Self::read(&client.query_one(&explain, &[]).await.unwrap().get(0));
        client.batch_execute("deallocate it; reset plan_cache_mode").await.unwrap();
        plan
    }

    /// Whether a step sorts rows.
    pub(crate) fn sorts(&self) -> bool {
        self.0.iter().any(|step| step.kind.contains("Sort"))
    }

    /// Whether a step reads a whole table.
    pub(crate) fn scans_a_table(&self) -> bool {
        self.0.iter().any(|step| step.kind == "Seq Scan")
    }

    /// Whether a step is shared among processes.
    pub(crate) fn is_parallel(&self) -> bool {
        self.0.iter().any(|step| step.kind.starts_with("Gather"))
    }

    /// Whether this index is used at all.
    pub(crate) fn uses(&self, index: &str) -> bool {
        self.0.iter().any(|step| step.over == index)
    }

    /// Whether rows come out of this index in its order.
    pub(crate) fn walks(&self, index: &str) -> bool {
        let is_walk = |kind: &str| matches!(kind, "Index Scan" | "Index Only Scan");
        self.0.iter().any(|step| is_walk(&step.kind) && step.over == index)
    }

    fn read(explained: &Value) -> Self {
        let mut steps = Vec::new();
        collect(&explained[0]["Plan"], &mut steps);
        Self(steps)
    }
}

/// Plans as on the connections of the process.
async fn tune(client: &Client) {
    for (name, value) in TUNING {
        client.batch_execute(&format!("set {name} = {value}")).await.unwrap();
    }
}

fn collect(node: &Value, steps: &mut Vec<Step>) {
    let text = |name: &str| node[name].as_str().unwrap_or_default().to_owned();
    let index = text("Index Name");
    let over = if index.is_empty() { text("Relation Name") } else { index };
    steps.push(Step { kind: text("Node Type"), over });
    for child in node["Plans"].as_array().into_iter().flatten() {
        collect(child, steps);
    }
}
