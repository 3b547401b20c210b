//! forward: takes the permit and the opened record by value, and writes the exact approved bytes.

use bytes::{Bytes, BytesMut};

use super::{
    hold::Permit,
    record::{Open, Recorded},
};

/// Writes `frame` towards the server, unchanged. The permit is used up; the record stays open
/// until the outcome.
pub fn forward(permit: Permit, recorded: Recorded, frame: &Bytes, upstream: &mut BytesMut) -> Open {
    drop(permit);
    upstream.extend_from_slice(frame);
    recorded.into_open()
}
