//! Booting a kernel image with mapstorm as the only program in it.

mod boot;
mod compare;
mod console;
mod digest;
mod elf;
mod fleet;
pub mod guest;
pub mod html;
mod image;
mod initramfs;
mod job;
mod keep;
mod qemu;
mod recipe;
mod record;
mod row;
pub mod stop;
mod table;
mod wire;

pub use boot::{Ended, Guest, Limits, boot};
pub use compare::{Comparison, Line, Said};
pub use console::hangs;
pub use digest::{Digest, Parts};
pub use fleet::{Fleet, Kernel, Observer, Plan, Prepared, RunError, spread};
pub use image::{Image, ImageError};
pub use initramfs::{Program, ProgramError, pack, place};
pub use job::Job;
pub use qemu::{Accel, Files, Machine, Qemu, QemuError};
pub use recipe::Recipe;
pub use record::Record;
pub use row::{Came, Row, Told, sort, worst};
pub use table::{Sort, Summary, Table, line as row_line};
pub use wire::Frame;
