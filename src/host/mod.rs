//! What the kernel says of this process's threads, and what follows from it.

mod affinity;
mod cpus;
pub mod facts;
pub mod fault;
mod hang;
mod kernel_log;
mod limits;
mod lock_probe;
mod locks;
mod machine;
mod own_memory;
mod own_thread;
mod peek;
pub mod priority;
mod thread;
mod vma_locks;

pub use affinity::Affinity;
pub use cpus::{Cpus, allowed_cpus, cpu_list, cpus_of_thread, parse_cpu_list, pin, pin_thread};
pub use hang::{Doing, FIRST_LOOK_MOST, Found, Overdue, Pulse, Standing, Stuck, Watch};
pub use kernel_log::{
    Function, KernelLog, Splat, SplatKind, grew_worse, splats, starts_splat, taint,
};
pub use limits::{Limits, RegionTooLarge, TooMuch};
pub use locks::{MapsLocking, observe_locking, observe_smaps_locking};
pub use machine::{Machine, query_works};
pub use own_memory::{lock_program, lock_stack, resident};
pub use own_thread::{ThreadFile, thread_files, thread_words};
pub use peek::Peek;
pub use thread::{Inside, Look, Sampler, Sched, State, now};
pub use vma_locks::VmaLockCounts;
