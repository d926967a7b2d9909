//! ANONYMOUS (RFC 4505).

use super::failure::Condition;
use super::{Identity, Next, success};

/// The only message of the client: trace information, which nobody vouches for and nothing here keeps.
pub(super) fn begin(trace: &str) -> Next {
    // RFC 4505 §2: at most 255 characters of a token or mail address; control characters are in neither.
    if trace.chars().count() > MAX_TRACE || trace.chars().any(char::is_control) {
        return Err(Condition::MalformedRequest.into());
    }
    Ok(success(Identity::Anonymous, None))
}

/// Most characters of trace information.
const MAX_TRACE: usize = 255;
