//! What the gateway does when its disk does not do as it should.

mod failing;
mod full;
