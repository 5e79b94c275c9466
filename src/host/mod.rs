//! What the kernel says of this process's threads, and what follows from it.

pub mod fault;
mod hang;
pub mod priority;
mod thread;

pub use hang::{Doing, Found, Overdue, Pulse, Standing, Stuck, Watch};
pub use thread::{Inside, Look, Sampler, Sched, State, now};
