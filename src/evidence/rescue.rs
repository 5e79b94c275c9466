//! The account of a stall on disk before anybody is told, by the thread that has found it.
//!
//! All it needs was made before the storm: a folder that was given is open (one of the run's own is made
//! at the first violation, this one perhaps), memory comes from the
//! [reserve](crate::allocations), and no lock is taken that a thread of the storm may hold. What a file
//! system needs to make a file safe may itself need the CPU that the stuck thread keeps, so the file is
//! given its name first and synced then.

use super::explain::{IncidentStory, incident_text};
use super::incident::SavedIncident;
use super::provenance::Origins;
use super::save::{Kept, Out, OutError, checked};
use super::target::Target;
use crate::engine::{Incident, StallKeeper};
use parking_lot::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long the rest of the program may take to tell of a stall, and how often is looked.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Saves a stall, and speaks where nobody else can.
pub struct Rescue {
    origins: Origins,
    /// Only the watcher takes it.
    out: Option<Mutex<Out>>,
    saved: OnceLock<Kept>,
    told: AtomicBool,
    alone: Box<dyn Fn(&Kept) + Send + Sync>,
}

impl Rescue {
    /// Saves where it is told to. `alone` is called where the rest of the program does not come to tell;
    /// it has to end the program.
    ///
    /// # Errors
    /// When the directory can't be made or written.
    pub fn new(
        origins: Origins,
        target: &Target,
        alone: impl Fn(&Kept) + Send + Sync + 'static,
    ) -> Result<Rescue, OutError> {
        let out = target.out()?.map(Mutex::new);
        let alone = Box::new(alone);
        Ok(Rescue { origins, out, saved: OnceLock::new(), told: AtomicBool::new(false), alone })
    }

    /// What was saved, once something was.
    pub fn saved(&self) -> Option<&Kept> {
        self.saved.get()
    }

    /// The program has told of it, or there is nothing to tell.
    pub fn told(&self) {
        // Relaxed: nothing else is published with it.
        self.told.store(true, Ordering::Relaxed);
    }

    /// The file, the words of it, and what becomes known of them.
    fn written(&self, incident: &Incident) -> (Vec<u8>, Vec<u8>, Kept, String) {
        let (saved, signature) = SavedIncident::new(incident, &self.origins);
        let checked = checked(&saved);
        let mut file = Vec::new();
        serde_json::to_writer_pretty(&mut file, &saved).expect("plain data into memory");
        file.push(b'\n');
        let named = saved.signature.clone();
        let mut words = Vec::new();
        if let Ok(story) = IncidentStory::of(saved) {
            incident_text::tell(&mut words, &story).expect("words into memory");
        }
        let words = anstream::adapter::strip_bytes(&words).into_vec();
        let size = file.len() as u64;
        let kept = Kept { signature, checked, path: None, size, trouble: None };
        (file, words, kept, named)
    }
}

impl StallKeeper for Rescue {
    fn rehearse(&self, incident: &Incident) {
        std::hint::black_box(self.written(incident));
    }

    fn save(&self, incident: &Incident) {
        let (file, words, mut kept, named) = self.written(incident);
        if let Some(out) = &self.out {
            let mut out = out.lock();
            match out.save_unsynced(&named, &file) {
                Ok(path) => {
                    // Beside it, for whoever finds the machine dead. The file has it all.
                    let _ = std::fs::write(path.with_extension("txt"), &words);
                    kept.path = Some(path);
                }
                Err(error) => kept.trouble = Some(error.to_string()),
            }
        }
        let _ = self.saved.set(kept);
    }

    fn sync(&self) {
        let Some(path) = self.saved.get().and_then(|kept| kept.path.as_ref()) else { return };
        for path in [path.clone(), path.with_extension("txt")] {
            // It is there; a file that can't be made safe is as good as can be had.
            let _ = std::fs::File::open(path).and_then(|file| file.sync_all());
        }
        if let Some(out) = &self.out {
            let _ = out.lock().sync();
        }
    }

    fn guard(&self) {
        let mut waited = Duration::ZERO;
        while waited < PATIENCE {
            // Relaxed: see `told`.
            if self.told.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
        if let Some(kept) = self.saved.get() {
            (self.alone)(kept);
        }
    }
}
