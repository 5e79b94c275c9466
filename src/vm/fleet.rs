//! Many guests: which runs there are, how many at a time, and what each needs to be booted.

use super::boot::{Ended, Guest, Limits, boot};
use super::digest::{Digest, Parts};
use super::image::Image;
use super::initramfs::{Program, pack, place};
use super::job::Job;
use super::keep::Keep;
use super::qemu::{Accel, Files, Machine, Qemu};
use super::recipe::Recipe;
use super::record::Record;
use super::row::{self, Row, Told};
use super::wire::Frame;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// What all runs have in common.
#[derive(Clone, Debug)]
pub struct Plan {
    /// CPUs of a guest.
    pub cpus: u16,
    /// Its memory, as QEMU's -m has it.
    pub memory: String,
    /// What to add to its kernel's command line.
    pub append: String,
    /// Whether its machine is exact.
    pub exact: bool,
    /// How long it may take.
    pub timeout: Duration,
    /// The program's arguments, but for the seed.
    pub arguments: Vec<String>,
    /// Below which folder files go, instead of the current one.
    pub out: Option<PathBuf>,
    /// The parts that an exact run has to be made of.
    pub expect: Option<String>,
    /// Whether each is run twice and compared.
    pub twice: bool,
    /// Where QEMU's log of the run goes.
    pub record: Option<Record>,
}

/// A kernel with what boots it.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The image.
    pub image: Image,
    /// The QEMU for it.
    pub qemu: Qemu,
    /// What is put into the guest.
    pub program: Program,
    /// Of the image.
    image_digest: Digest,
    /// Of the program.
    program_digest: Digest,
}

impl Kernel {
    /// A kernel, its files read.
    ///
    /// # Errors
    /// Where the image can't be read.
    pub fn new(image: Image, qemu: Qemu, program: Program) -> io::Result<Kernel> {
        let image_digest = Digest::of(&fs::read(&image.path)?);
        let files = program.files();
        let program_digest =
            Digest::of_all(files.map(|(path, content)| (path.display().to_string(), content)));
        Ok(Kernel { image, qemu, program, image_digest, program_digest })
    }
}

/// A run that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file of the machine.
    #[error("{what}: {source}")]
    File {
        /// Which.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The parts are not those expected.
    #[error("{0}")]
    Unexpected(String),
}

fn file(what: impl Into<String>) -> impl FnOnce(io::Error) -> RunError {
    let what = what.into();
    move |source| RunError::File { what, source }
}

/// What the caller does while guests run.
pub trait Observer: Sync {
    /// The signal that ends it all, if one came.
    fn signal(&self) -> Option<i32>;
    /// Something that a guest said.
    fn frame(&self, frame: &Frame);
    /// Something to know beside the result.
    fn note(&self, text: &str);
    /// The command that makes this run again; with `expect`, of the same parts.
    fn command(&self, kernel: &Image, seed: Option<u64>, expect: Option<&str>) -> String;
    /// A run that is over.
    fn row(&self, row: &Row);
}

/// One machine ready to be booted.
pub struct Prepared {
    /// The machine.
    pub machine: Machine,
    /// Its files.
    pub files: Files,
    /// How to run it again.
    pub recipe: Recipe,
    /// The folder that goes with it.
    folder: TempDir,
}

impl Prepared {
    /// Where its files lie, as long as it is there.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Runs guests by one plan.
pub struct Fleet<'a, O> {
    plan: &'a Plan,
    observer: &'a O,
    /// Files of the host that the arguments name, by their places in the guest.
    inputs: BTreeMap<PathBuf, Vec<u8>>,
    /// Whether KVM was found to run nothing.
    kvm_fails: AtomicBool,
}

impl<'a, O: Observer> Fleet<'a, O> {
    /// By this plan.
    ///
    /// # Errors
    /// Where a file that the arguments name can't be read.
    pub fn new(plan: &'a Plan, observer: &'a O) -> Result<Fleet<'a, O>, RunError> {
        let mut inputs = BTreeMap::new();
        for word in &plan.arguments {
            // `--flag=FILE`, too.
            let word = word
                .split_once('=')
                .filter(|_| word.starts_with("--"))
                .map_or(word.as_str(), |(_, value)| value);
            let path = Path::new(word);
            if path.is_file() {
                inputs.insert(place(path), fs::read(path).map_err(file(word))?);
            }
        }
        Ok(Fleet { plan, observer, inputs, kvm_fails: AtomicBool::new(!kvm_opens()) })
    }

    /// Runs each kernel with each seed, `jobs` at a time. Gives the rows in the order asked for;
    /// after a signal, or an error, those that there are.
    ///
    /// # Errors
    /// The first run that could not be made.
    pub fn run(&self, runs: &[(&Kernel, Option<u64>)], jobs: usize) -> Result<Vec<Row>, RunError> {
        let signal = || self.observer.signal().is_some();
        spread(runs, jobs, signal, |(kernel, seed)| {
            let row = self.one(kernel, *seed)?;
            self.observer.row(&row);
            Ok(row)
        })
    }

    fn one(&self, kernel: &Kernel, seed: Option<u64>) -> Result<Row, RunError> {
        let (guest, mut row) = self.once(kernel, seed, true)?;
        if self.plan.twice && self.observer.signal().is_none() {
            let (again, second) = self.once(kernel, seed, false)?;
            let equal = guest.port == again.port && guest.console == again.console;
            row.repeated = Some(equal);
            row.took_ms += second.took_ms;
            if !equal {
                row.reason = Some(differs(&guest, &again));
            }
        }
        Ok(row)
    }

    /// One boot; with `told`, what it says and saves is handed on.
    fn once(
        &self,
        kernel: &Kernel,
        seed: Option<u64>,
        told: bool,
    ) -> Result<(Guest, Row), RunError> {
        let accel = self.accel(kernel);
        let (guest, row) = self.with(kernel, seed, accel, told)?;
        if accel == Accel::Kvm && matches!(guest.ended, Ended::NeverBegan(_)) {
            self.observer.note("KVM can be opened here and runs no guest; going on with TCG");
            // Relaxed: one more trial by another thread does no harm.
            self.kvm_fails.store(true, Ordering::Relaxed);
            return self.with(kernel, seed, Accel::Tcg, told);
        }
        Ok((guest, row))
    }

    fn accel(&self, kernel: &Kernel) -> Accel {
        let own = kernel.image.arch == std::env::consts::ARCH;
        match self.plan.exact {
            true => Accel::Exact,
            // Relaxed: see `once`.
            false if own && !self.kvm_fails.load(Ordering::Relaxed) => Accel::Kvm,
            false => Accel::Tcg,
        }
    }

    /// What booting it takes.
    ///
    /// # Errors
    /// Where a file can't be made, or the parts are not those expected.
    pub fn prepare(
        &self,
        kernel: &Kernel,
        seed: Option<u64>,
        accel: Accel,
    ) -> Result<Prepared, RunError> {
        let plan = self.plan;
        let machine = Machine {
            arch: kernel.image.arch,
            cpus: plan.cpus,
            memory: plan.memory.clone(),
            append: plan.append.clone(),
            accel,
            seed: seed.unwrap_or(1),
            record: plan.record.clone(),
        };
        let mut arguments = plan.arguments.clone();
        arguments.extend(seed.into_iter().flat_map(|seed| ["--seed".into(), seed.to_string()]));
        let job = Job { port: Machine::port(kernel.image.arch).into(), arguments };
        let parts = (accel == Accel::Exact).then(|| self.parts(kernel, &machine, &job));
        if let (Some(parts), Some(expected)) = (&parts, &plan.expect) {
            parts.expect(expected).map_err(RunError::Unexpected)?;
        }
        let folder = TempDir::with_prefix("mapstorm-vm-").map_err(file("a temporary folder"))?;
        let at = |name: &str| folder.path().join(name);
        let archive = pack(&kernel.program, &job, &self.inputs).map_err(file("the initramfs"))?;
        fs::write(at("initramfs"), archive).map_err(file("the initramfs"))?;
        let files = Files {
            kernel: kernel.image.path.clone(),
            initramfs: at("initramfs"),
            console: at("console"),
            port: at("port"),
        };
        let expect = parts.as_ref().map(Parts::short);
        let recipe = Recipe {
            command: self.observer.command(&kernel.image, seed, expect.as_deref()),
            image: kernel.image.given.display().to_string(),
            qemu: kernel.qemu.version.clone(),
            accel: accel.word().to_owned(),
            parts,
        };
        Ok(Prepared { machine, files, recipe, folder })
    }

    fn parts(&self, kernel: &Kernel, machine: &Machine, job: &Job) -> Parts {
        // Where the files lie on this host does not matter to the guest.
        let nowhere = Files {
            kernel: PathBuf::new(),
            initramfs: PathBuf::new(),
            console: PathBuf::new(),
            port: PathBuf::new(),
        };
        // Nor does it whether the run is logged.
        let machine = Machine { record: None, ..machine.clone() };
        let words = machine.arguments(&nowhere).join("\0");
        let job = serde_json::to_vec(job).expect("plain data");
        let own = [("machine".to_owned(), words.as_bytes()), ("job".to_owned(), &job)];
        let inputs = self
            .inputs
            .iter()
            .map(|(path, content)| (path.display().to_string(), content.as_slice()));
        Parts {
            qemu: kernel.qemu.digest.clone(),
            kernel: kernel.image_digest.clone(),
            mapstorm: kernel.program_digest.clone(),
            job: Digest::of_all(own.into_iter().chain(inputs)),
        }
    }

    fn with(
        &self,
        kernel: &Kernel,
        seed: Option<u64>,
        accel: Accel,
        told: bool,
    ) -> Result<(Guest, Row), RunError> {
        let Prepared { machine, files, recipe, folder: _folder } =
            self.prepare(kernel, seed, accel)?;
        let name = row::name(&kernel.image.name, seed);
        let mut heard = Heard {
            told: Told::default(),
            keep: Keep::new(
                self.plan.out.as_ref().map_or_else(PathBuf::new, |out| out.join(&name)),
            ),
        };
        let limits = Limits::of(self.plan.timeout);
        let limits = match accel {
            Accel::Kvm => limits.on_trial(),
            Accel::Exact => limits.exact(),
            Accel::Tcg => limits,
        };
        let guest = boot(
            &kernel.qemu,
            &machine,
            &files,
            limits,
            || self.observer.signal(),
            |frame| {
                if told {
                    heard.take(&frame, &recipe);
                    self.observer.frame(&frame);
                }
            },
        )
        .map_err(file(kernel.qemu.program.display().to_string()))?;
        let in_vain = accel == Accel::Kvm && matches!(guest.ended, Ended::NeverBegan(_));
        if told && !in_vain {
            heard.console(&guest.console, self.plan.out.is_some(), &recipe);
        }
        if let Some(record) = &machine.record {
            let script = record
                .finish(&kernel.qemu, &machine, &files)
                .map_err(file(record.folder().display().to_string()))?;
            self.observer.note(&format!("{} replays this run", script.display()));
        }
        let row = Row::new(kernel.image.name.clone(), seed, &guest, heard.done(), Some(recipe));
        Ok((guest, row))
    }
}

/// Makes each run, `jobs` at a time. Gives the results in the order of the runs; once `stop` says
/// so, those that there are.
///
/// # Errors
/// The first run that could not be made.
pub fn spread<T: Sync, E: Send>(
    runs: &[T],
    jobs: usize,
    stop: impl Fn() -> bool + Sync,
    one: impl Fn(&T) -> Result<Row, E> + Sync,
) -> Result<Vec<Row>, E> {
    let next = AtomicUsize::new(0);
    let rows: Mutex<Vec<Option<Row>>> = Mutex::new(vec![None; runs.len()]);
    let failed: Mutex<Option<E>> = Mutex::new(None);
    let work = || {
        loop {
            // Relaxed: the number alone is shared.
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(run) = runs.get(number) else { break };
            if stop() || failed.lock().is_some() {
                break;
            }
            match one(run) {
                Ok(row) => rows.lock()[number] = Some(row),
                Err(error) => {
                    failed.lock().get_or_insert(error);
                }
            }
        }
    };
    thread::scope(|threads| {
        (0..jobs.clamp(1, runs.len().max(1))).for_each(|_| {
            threads.spawn(work);
        });
    });
    match failed.into_inner() {
        Some(error) => Err(error),
        None => Ok(rows.into_inner().into_iter().flatten().collect()),
    }
}

/// What came from a guest so far.
struct Heard {
    told: Told,
    keep: Keep,
}

impl Heard {
    fn take(&mut self, frame: &Frame, recipe: &Recipe) {
        match frame {
            Frame::Begun(release) => self.told.release = Some(release.clone()),
            Frame::Report(bytes) => self.told.report = serde_json::from_slice(bytes).ok(),
            Frame::Trouble(text) => self.told.troubles.push(text.clone()),
            Frame::File(name, content) => self.save(name, content, recipe),
            Frame::Marks(places) => self.told.marks.clone_from(places),
            Frame::Stdout(_) | Frame::Stderr(_) | Frame::Ended(_) => {}
        }
    }

    fn save(&mut self, name: &str, content: &[u8], recipe: &Recipe) {
        if let Err(error) = self.keep.file(name, content, recipe) {
            self.told.troubles.push(format!("{name} could not be saved here: {error}"));
        }
    }

    /// Keeps the console beside the other files, where a folder for them was named.
    fn console(&mut self, text: &str, named: bool, recipe: &Recipe) {
        if named {
            self.save("console.txt", text.as_bytes(), recipe);
        }
    }

    fn done(mut self) -> Told {
        self.told.files = self.keep.paths().map(|path| path.display().to_string()).collect();
        self.told
    }
}

/// Where two runs of the same part.
fn differs(one: &Guest, other: &Guest) -> String {
    let same = one.port.iter().zip(&other.port).take_while(|(a, b)| a == b).count();
    let lines = one.console.lines().zip(other.console.lines());
    let line = lines.take_while(|(a, b)| a == b).count();
    format!(
        "two runs of the same differ from byte {same} of {} and {} on; their consoles from line {}",
        one.port.len(),
        other.port.len(),
        line + 1
    )
}

/// Whether KVM can be asked at all. Whether it runs a guest is tried.
fn kvm_opens() -> bool {
    OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}
