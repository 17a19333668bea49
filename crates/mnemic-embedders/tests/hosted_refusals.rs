//! What vendors say when they refuse, in their own words, and what it must become. Not here: faults of the way (`hosted_faults`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod hosted_common;

use std::time::Duration;

use hosted_common::Vendor;
use mnemic_core::{Error, ErrorKind, Retry, ports::Purpose};
use mnemic_stand_ins::Fault;

const TEXT: &str = "my daughter was born in Daugavpils in 1998";

async fn refused(vendor: Vendor, fault: Fault) -> Error {
    let stand_in = vendor.stand_in();
    stand_in.knobs().always_on("/", fault);
    vendor.at(&stand_in.url()).embed(Purpose::Document, &[TEXT]).await.expect_err("the vendor refused")
}

async fn check(vendor: Vendor, cases: &[(u16, &str, ErrorKind, Retry)]) {
    for (status, body, kind, retry) in cases {
        let error = refused(vendor, Fault::json(*status, *body)).await;
        assert_eq!((error.kind(), error.retry()), (*kind, *retry), "{vendor:?}, {status} {body}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("Daugavpils"), "{error:?}");
        let of_text = error.field() == Some("texts[0]");
        assert_eq!(of_text, *kind == ErrorKind::InvalidInput, "a text is named if it is the reason: {error:?}");
    }
}

const NEVER: Retry = Retry::Never;

#[tokio::test]
async fn voyage() {
    use ErrorKind::{Denied, InvalidConfig, InvalidInput, RateLimited, Unavailable};
    check(
        Vendor::Voyage,
        &[
            (400, r#"{"detail":"The batch size limit is 1000. Your batch size is 1001."}"#, InvalidInput, NEVER),
            (400, r#"{"detail":"Request to model 'voyage-4-large' failed. The max allowed tokens per submitted batch is 120000. Your batch has 187609 tokens after truncation."}"#, InvalidInput, NEVER),
            (400, r#"{"detail":"Model voyage-9 is not supported. Supported models are ['voyage-4']."}"#, InvalidConfig, NEVER),
            (400, r#"{"detail":"Model voyage-law-2 does not support output_dimension 2048."}"#, InvalidConfig, NEVER),
            (400, r#"{"detail":"Input cannot contain empty strings or empty lists"}"#, InvalidInput, NEVER),
            (401, r#"{"detail":"Provided API key is invalid."}"#, Denied, NEVER),
            (403, r#"{"detail":"Your IP address is not allowed."}"#, Denied, NEVER),
            (422, r#"{"detail":[{"loc":["body","input"],"msg":"str type expected","type":"type_error.str","input":"my daughter was born in Daugavpils in 1998"}]}"#, InvalidInput, NEVER),
            (422, r#"{"detail":"cannot read 'my daughter was born in Daugavpils in 1998'"}"#, InvalidInput, NEVER),
            (429, r#"{"detail":"You have not yet added your payment method in the billing page and will have reduced rate limits of 3 RPM and 10K TPM."}"#, RateLimited, Retry::After(Duration::from_secs(20))),
            (429, r#"{"detail":"Rate limit reached"}"#, RateLimited, Retry::Soon),
            (500, r#"{"detail":"An unexpected error occurred."}"#, Unavailable, Retry::Soon),
            (404, r#"{"detail":"Not Found"}"#, InvalidConfig, NEVER),
        ],
    )
    .await;
}

#[tokio::test]
async fn gemini() {
    use ErrorKind::{Denied, InvalidConfig, InvalidInput, RateLimited, Unavailable};
    check(
        Vendor::Gemini,
        &[
            (400, r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}"#, Denied, NEVER),
            (
                400,
                r#"{"error":{"code":400,"message":"API key expired. Please renew the API key.","status":"INVALID_ARGUMENT"}}"#,
                Denied,
                NEVER,
            ),
            (400, r#"{"error":{"code":400,"message":"* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch\n","status":"INVALID_ARGUMENT"}}"#, InvalidInput, NEVER),
            (400, r#"{"error":{"code":400,"message":"Request payload size exceeds the limit: 4194304 bytes.","status":"INVALID_ARGUMENT"}}"#, InvalidInput, NEVER),
            (400, r#"[{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}]"#, Denied, NEVER),
            (400, r#"{"error":{"code":400,"message":"* EmbedContentRequest.output_dimensionality: must be positive","status":"INVALID_ARGUMENT"}}"#, InvalidConfig, NEVER),
            (403, r#"{"error":{"code":403,"message":"Method doesn't allow unregistered callers","status":"PERMISSION_DENIED"}}"#, Denied, NEVER),
            (404, r#"{"error":{"code":404,"message":"models/x is not found for API version v1beta, or is not supported for embedContent.","status":"NOT_FOUND"}}"#, InvalidConfig, NEVER),
            (429, r#"{"error":{"code":429,"message":"You exceeded your current quota","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}"#, RateLimited, Retry::After(Duration::from_millis(34_500))),
            (429, r#"{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"-1s"}]}}"#, RateLimited, Retry::Soon),
            (503, r#"{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}"#, Unavailable, Retry::Soon),
            (500, r#"{"error":{"code":500,"message":"An internal error has occurred.","status":"INTERNAL"}}"#, Unavailable, Retry::Soon),
        ],
    )
    .await;
}

#[tokio::test]
async fn openai_and_its_likes() {
    use ErrorKind::{Denied, InvalidConfig, InvalidInput, RateLimited, Unavailable};
    check(
        Vendor::OpenAi,
        &[
            (401, r#"{"error":{"message":"Incorrect API key provided: pa-hu***sh.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#, Denied, NEVER),
            (429, r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#, Denied, NEVER),
            (429, r#"{"error":{"message":"Billing limit reached","type":"insufficient_quota","param":null,"code":null}}"#, Denied, NEVER),
            (429, r#"{"error":{"message":"Rate limit reached for text-embedding-3-large","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#, RateLimited, Retry::Soon),
            (404, r#"{"error":{"message":"The model `x` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#, InvalidConfig, NEVER),
            (400, r#"{"error":{"message":"This model's maximum context length is 8192 tokens, however you requested 10000 tokens (10000 in your prompt; 0 for the completion). Please reduce your prompt; or completion length.","type":"invalid_request_error","param":null,"code":null}}"#, InvalidInput, NEVER),
            (400, r#"{"error":{"message":"Invalid 'input': array too long. Expected an array with maximum length 2048, but got an array with length 2049 instead.","type":"invalid_request_error","param":"input","code":"array_above_max_length"}}"#, InvalidInput, NEVER),
            (400, r#"{"error":{"message":"This model does not support specifying dimensions.","type":"invalid_request_error","param":"dimensions","code":null}}"#, InvalidConfig, NEVER),
            (400, r#"{"error":{"message":"'$.input' is invalid.","type":"invalid_request_error","param":null,"code":null}}"#, InvalidInput, NEVER),
            (500, r#"{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}"#, Unavailable, Retry::Soon),
        ],
    )
    .await;
    check(
        Vendor::Ollama,
        &[
            (404, r#"{"error":{"message":"model \"x\" not found, try pulling it first","type":"not_found_error","param":null,"code":null}}"#, InvalidConfig, NEVER),
            (400, r#"{"error":{"message":"the input length exceeds the context length","type":"invalid_request_error","param":null,"code":null}}"#, InvalidInput, NEVER),
            (400, r#"{"error":"invalid input"}"#, InvalidInput, NEVER),
            (500, r#"{"error":{"message":"do embedding request: EOF","type":"api_error","param":null,"code":null}}"#, Unavailable, Retry::Soon),
        ],
    )
    .await;
    check(
        Vendor::Vllm,
        &[
            (400, r#"{"object":"error","message":"This model's maximum context length is 512 tokens. However, you requested 600 tokens in the input for embedding generation. Please reduce the length of the input.","type":"BadRequestError","param":null,"code":400}"#, InvalidInput, NEVER),
            (400, r#"{"error":{"message":"Model \"x\" does not support matryoshka representation, changing output dimensions will lead to poor results.","type":"BadRequestError","param":null,"code":400}}"#, InvalidConfig, NEVER),
            (404, r#"{"error":{"message":"The model `x` does not exist.","type":"NotFoundError","param":"model","code":404}}"#, InvalidConfig, NEVER),
        ],
    )
    .await;
}

#[tokio::test]
async fn text_embeddings_inference() {
    use ErrorKind::{Denied, InvalidConfig, InvalidInput, RateLimited, Unavailable};
    check(
        Vendor::Tei,
        &[
            (413, r#"{"error":"batch size 33 > maximum allowed batch size 32","error_type":"Validation"}"#, InvalidInput, NEVER),
            (413, "length limit exceeded", InvalidInput, NEVER),
            (413, r#"{"error":"Input validation error: `inputs` must have less than 512 tokens. Given: 600","error_type":"Validation"}"#, InvalidInput, NEVER),
            (422, r#"{"error":"Tokenization error","error_type":"tokenizer"}"#, InvalidInput, NEVER),
            (424, r#"{"error":"Inference failed","error_type":"backend"}"#, Unavailable, Retry::Soon),
            (424, r#"{"error":"model is not an embedding model","error_type":"Backend"}"#, InvalidConfig, NEVER),
            (429, r#"{"error":"Model is overloaded","error_type":"overloaded"}"#, RateLimited, Retry::Soon),
            (503, r#"{"error":"unhealthy","error_type":"Unhealthy"}"#, Unavailable, Retry::Soon),
            (401, "", Denied, NEVER),
            (404, "", InvalidConfig, NEVER),
        ],
    )
    .await;
    let body = r#"{"message":"Model is overloaded","code":429,"error_type":"Overloaded"}"#;
    let error = refused(Vendor::TeiOpenAi, Fault::json(429, body).waiting("3")).await;
    assert_eq!((error.kind(), error.retry()), (RateLimited, Retry::After(Duration::from_secs(3))));
}
