//! Random operations on a quiet arena, compared with the model after each.

use super::{Bench, Dropped, Failure, Unpredicted, refusal, unreadable};
use crate::engine::op_set::OpSet;
use crate::engine::program::Program;
use crate::kernel::{Arena, MapsRead, Mm};
use crate::model::{Op, Place, Space, Span};
use crate::seed::Stream;

/// Operations until the lanes are emptied and it begins anew.
const ROUND: u64 = 200;

/// Draws in a row that do not fit before it is given up.
const IDLE: u32 = 100_000;

/// Carries out `steps` random operations of `may` in this thread on the first two lanes, and compares
/// the layouts after each. Gives the first difference.
///
/// # Errors
/// When maps can't be read, or a call fails that the model says fits.
pub fn random_steps(
    arena: &Arena,
    source: &mut (impl MapsRead + ?Sized),
    may: &OpSet,
    seed: u64,
    steps: u64,
) -> Result<Option<Unpredicted>, Dropped> {
    let geometry = *arena.geometry();
    let pages = usize::from(geometry.pages);
    let lanes = geometry.lanes.min(2);
    let mut rng = Stream::new(seed, "steps", 0);
    let mut bench = Bench::new(arena);
    let trouble = |why: String| Dropped { what: "random operations".into(), why };
    let mut space = Space::empty(lanes.into(), pages, may.rules);
    let mut program = Program::Scatter { lane: 0, other: 0 };
    let (mut done, mut idle) = (0, 0);
    while done < steps {
        if done.is_multiple_of(ROUND) {
            for lane in 0..lanes {
                let op = Op::Unmap { at: Place { lane, span: Span::new(0, pages) } };
                arena.carry_out(&op).map_err(|errno| trouble(refusal(&op, errno)))?;
            }
            space = Space::empty(lanes.into(), pages, may.rules);
        }
        if rng.one_in(16) {
            let lane = rng.below(lanes.into()) as u16;
            let other = rng.below(lanes.into()) as u16;
            let layout = &space.lanes()[usize::from(lane)];
            let hammer = Program::hammer(&mut rng, may, lane, layout, other, pages, false);
            let scatter = Program::Scatter { lane, other };
            program = hammer.filter(|_| rng.one_in(2)).unwrap_or(scatter);
        }
        let (lane, other) = program.lanes();
        let layout = |lane: u16| &space.lanes()[usize::from(lane)];
        let op = program.next(&mut rng, may, layout(lane), layout(other.unwrap_or(lane)));
        let Some(op) = op.filter(|op| space.fits(op).is_ok()) else {
            idle += 1;
            if idle > IDLE {
                return Err(trouble("nothing of what may be done fits".into()));
            }
            continue;
        };
        idle = 0;
        arena.carry_out(&op).map_err(|errno| trouble(refusal(&op, errno)))?;
        let before = space.lanes().to_vec();
        let _ = space.play(&op);
        done += 1;
        match bench.compare(source, op, &before, std::slice::from_ref(&space)) {
            Ok(_) => {}
            Err(Failure::Unpredicted(unpredicted)) => return Ok(Some(*unpredicted)),
            Err(Failure::Unreadable(errno)) => return Err(trouble(unreadable(errno))),
            Err(Failure::Refused(why)) => return Err(trouble(why)),
        }
    }
    Ok(None)
}
