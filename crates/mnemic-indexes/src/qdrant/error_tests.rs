//! What Qdrant's own answers are read as: bodies as servers send them. Not here: the reading (`error`).

use std::time::Duration;

use mnemic_core::{ErrorKind, Retry};
use mnemic_http::{Address, Call, Client, ClientConfig};
use mnemic_stand_ins::{Fault, Knobs, qdrant};

use super::error::refused;

fn envelope(message: &str) -> String {
    serde_json::json!({ "status": { "error": message }, "time": 0.1 }).to_string()
}

#[tokio::test]
async fn real_refusals_have_the_right_kind_and_verdict_and_show_nothing_that_was_sent() {
    use ErrorKind::{Conflict, Denied, InvalidConfig, InvalidInput, ModelMismatch, NotFound, RateLimited, Unavailable};
    use Retry::{After, Never, Soon};
    let seven = After(Duration::from_secs(7));
    let cases = [
        (400, envelope("Wrong input: Vector dimension error: expected dim: 4, got 3"), None, ModelMismatch, Never),
        (400, envelope("Wrong input: Not existing vector name error: dense"), None, ModelMismatch, Never),
        (
            400,
            envelope(
                "Bad request: Index required but not found for \"secret\" of one of the following types: [keyword]. Help: …",
            ),
            None,
            InvalidConfig,
            Never,
        ),
        (
            400,
            envelope("Payload error: JSON payload (33600110 bytes) is larger than allowed (limit: 33554432 bytes)."),
            None,
            InvalidInput,
            Never,
        ),
        (400, envelope("Format error in JSON body: value secret is not a valid point ID"), None, InvalidInput, Never),
        (401, "Must provide an API key or an Authorization bearer token".to_owned(), None, Denied, Never),
        (401, "Invalid API key or JWT".to_owned(), None, Denied, Never),
        (403, envelope("Forbidden: Global manage access is required"), None, Denied, Never),
        (403, envelope("Forbidden: Write operations are locked"), None, Unavailable, Soon),
        (404, envelope("Not found: Collection `secret` doesn't exist!"), None, NotFound, Never),
        (404, envelope("Not found: Point with id 7 does not exists!"), None, NotFound, Never),
        (404, String::new(), None, InvalidConfig, Never),
        (408, envelope("Timeout error: Operation 'secret' timed out after 30 seconds"), None, Unavailable, Soon),
        (409, envelope("Wrong input: Collection `secret` already exists!"), None, Conflict, Never),
        (
            422,
            envelope("Validation error in JSON body: [limit: value 0 invalid, must be 1 or larger]"),
            None,
            InvalidInput,
            Never,
        ),
        (429, envelope("Rate limiting exceeded: Read rate limit exceeded: …"), Some("7"), RateLimited, seven),
        (429, envelope("Rate limiting exceeded: Write rate limit exceeded: …"), None, RateLimited, Soon),
        (500, envelope("Service internal error: task secret panicked"), None, Unavailable, Soon),
        (502, "<html><h1>502 Bad Gateway</h1>secret</html>".to_owned(), None, Unavailable, Soon),
        (503, envelope("Shard unavailable: secret"), None, Unavailable, Soon),
        (507, envelope("Insufficient storage: secret"), None, Unavailable, Soon),
    ];
    let server = qdrant::start(Knobs::new()).unwrap();
    let address = Address::new("qdrant_url", &server.url()).unwrap();
    let config = ClientConfig { service: "Qdrant", address, secret_headers: Vec::new(), headers: Vec::new() };
    let client = Client::new(config).unwrap();
    for (status, body, wait, kind, retry) in cases {
        let mut fault = Fault::json(status, body.clone());
        if let Some(wait) = wait {
            fault = fault.waiting(wait);
        }
        server.knobs().next([fault]);
        let error = refused(&client.send(Call::get("/collections")).await.unwrap());
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{status} {body}");
        assert!(!error.to_string().contains("secret") && !error.to_string().contains("127.0.0.1"), "{error}");
    }
}
