//! The one question that spans namespaces: which ones there are. Asked by a role that can read nothing else.
//! Not here: anything inside a namespace (`transaction`).

use mnemic_core::{Namespace, Order, Result};
use tokio_postgres::types::Type;

use crate::{
    error,
    lease::pipeline,
    pool::Pool,
    query::column,
    transaction::{say, tell},
};

impl Pool {
    /// Namespaces that hold anything, after `after` in the given order, at most `limit`.
    ///
    /// # Errors
    /// By [`crate::classify`].
    pub async fn namespaces(&self, after: Option<&Namespace>, order: Order, limit: usize) -> Result<Vec<Namespace>> {
        let sql = match order {
            Order::Oldest => {
                "SELECT namespace FROM mnemic.namespaces WHERE head > 0 AND ($1 = '' OR namespace > $1)
                 ORDER BY namespace LIMIT $2"
            }
            Order::Newest => {
                "SELECT namespace FROM mnemic.namespaces WHERE head > 0 AND ($1 = '' OR namespace < $1)
                 ORDER BY namespace DESC LIMIT $2"
            }
        };
        let lease = self.lease().await?;
        let client = crate::transaction::client(&lease)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let bound = [(&limit as &(dyn tokio_postgres::types::ToSql + Sync), Type::INT8)];
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL ROLE mnemic_list";
        let list = say(client, sql, after.map_or("", Namespace::as_str), &bound);
        let answers = pipeline(vec![tell(client, begin), Box::pin(list), tell(client, "COMMIT")]).await;
        crate::transaction::end(lease, &answers);
        let mut names = Vec::new();
        for answer in answers {
            for row in answer.map_err(|source| error::classify(&source))?.rows {
                names.push(Namespace::new(column::<&str>(&row, 0)?)?);
            }
        }
        Ok(names)
    }
}
