//! What the kernel says of itself while a storm goes on, as violations.

use super::Storm;
use crate::engine::incidents::KernelSplat;
use crate::engine::signature::Signature;
use crate::host::{self, Splat, SplatKind, grew_worse};
use rustix::io::Errno;
use std::time::Instant;

impl Storm {
    /// Why the kernel's log is not watched, where it is not.
    pub fn log_trouble(&self) -> Option<Errno> {
        self.log.trouble()
    }

    /// The kernel's taint before the storm.
    pub fn taint_before(&self) -> Option<u64> {
        self.taint
    }

    /// Counts the splats that came, and keeps an account of each. Allocates.
    pub(super) fn take_splats(&self, begun: Instant) {
        self.log.splats().into_iter().for_each(|splat| self.take_splat(splat, begun));
    }

    /// Where the log can't be read: what the kernel's taint says.
    pub(super) fn take_taint(&self, begun: Instant) {
        // The log says more.
        if self.log.trouble().is_none() {
            return;
        }
        let after = host::taint();
        if grew_worse(self.taint, after) {
            let (before, after) = (self.taint.unwrap_or(0), after.unwrap_or(0));
            let line =
                format!("the kernel's taint was {before} and is {after}; its log can't be read");
            let splat = Splat { kind: SplatKind::Taint, function: None, lines: vec![line] };
            self.take_splat(splat, begun);
        }
    }

    fn take_splat(&self, splat: Splat, begun: Instant) {
        self.alarm_as(Signature::of_splat(splat.kind, splat.function), begun);
        let taint = [self.taint, host::taint()];
        self.findings.put_in(|room| room.splat(KernelSplat { at: begun.elapsed(), splat, taint }));
    }
}
