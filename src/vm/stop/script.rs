//! What gdb is told to show of a stopped machine.

/// CPUs, the program's threads with their kernel stacks, and the vmas around an address.
const SCRIPT: &str = include_str!("show.py");

/// gdb's commands for a machine whose stub listens at `stub`. `hole` is the address that was missing.
pub fn commands(stub: &str, hole: Option<u64>) -> String {
    let hole = hole.map_or_else(|| "None".to_owned(), |hole| format!("{hole:#x}"));
    format!(
        "set pagination off\nset confirm off\nset print frame-arguments scalars\n\
         target remote {stub}\npython\nHOLE = {hole}\n{SCRIPT}end\n"
    )
}
