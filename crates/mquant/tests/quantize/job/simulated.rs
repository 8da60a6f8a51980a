//! A disk in memory that can lose its power after any operation, fail at any, and pretend to have synced.
//!
//! Content and names are kept twice, as the programs see them and as they were last synced. Names are a log of changes, each
//! atomic; one lasts once a folder it touches is synced, earlier ones of the same folder with it.

mod disk;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const PAGE: usize = 4096;
const ROOT: u64 = 0;

/// What a crash takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing: the process was killed, not the machine.
    Nothing,
    /// All that was not synced, content and names.
    Unsynced,
    /// Of content a random set of pages stays, of names all before some moment.
    Pages,
    /// Names stay, content goes: files are empty or full of zeros.
    Content,
}

pub(crate) const LOSSES: [Loss; 4] = [Loss::Nothing, Loss::Unsynced, Loss::Pages, Loss::Content];

/// When something happens, counted in operations or calls since the last start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plan {
    /// The power goes after this operation that changes something.
    pub(crate) crash_after: Option<usize>,
    /// This sync does nothing and says it did.
    pub(crate) lying_sync: Option<usize>,
    /// This call of any kind fails.
    pub(crate) failing: Option<(usize, i32)>,
    /// From this call on, nothing can be created or written.
    pub(crate) full_from: Option<usize>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    seen: Vec<u8>,
    synced: Vec<u8>,
    /// What a failed sync took: these bytes never reach the disk.
    lost: Vec<std::ops::Range<usize>>,
}

type Names = BTreeMap<u64, BTreeMap<OsString, u64>>;

#[derive(Clone, Debug)]
struct Change {
    /// Folder, name, and what it stands for from now on.
    set: Vec<(u64, OsString, Option<u64>)>,
    lasts: bool,
}

#[derive(Clone, Debug, Default)]
struct State {
    files: BTreeMap<u64, Content>,
    seen: Names,
    synced: Names,
    log: Vec<Change>,
    next: u64,
    locked: BTreeSet<u64>,
    plan: Plan,
    operations: usize,
    calls: usize,
    is_off: bool,
    /// Path of each sync since the start, and the operation it was.
    syncs: Vec<(PathBuf, usize)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Simulated(Arc<Mutex<State>>);

/// Whether an operation changes something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Look,
    Change,
    /// A change that takes space.
    Grow,
}

impl Simulated {
    pub(crate) fn new() -> Self {
        let names = Names::from([(ROOT, BTreeMap::new())]);
        let state = State { seen: names.clone(), synced: names, next: ROOT + 1, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Another disk of the same content.
    pub(crate) fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    pub(crate) fn shared(&self) -> mquant::disk::SharedDisk {
        Arc::new(self.clone())
    }

    /// Begins to count anew.
    pub(crate) fn start(&self, plan: Plan) {
        let mut state = self.state();
        (state.plan, state.operations, state.calls) = (plan, 0, 0);
        state.syncs.clear();
    }

    pub(crate) fn operations(&self) -> usize {
        self.state().operations
    }

    pub(crate) fn calls(&self) -> usize {
        self.state().calls
    }

    pub(crate) fn is_off(&self) -> bool {
        self.state().is_off
    }

    pub(crate) fn syncs(&self) -> Vec<(PathBuf, usize)> {
        self.state().syncs.clone()
    }

    /// Ends all processes, takes what the loss takes, and turns the power on.
    pub(crate) fn restart(&self, loss: Loss, seed: u64) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut state = self.state();
        state.locked.clear();
        (state.is_off, state.plan) = (false, Plan::default());
        let kept = match loss {
            // What was not synced still is not.
            Loss::Nothing => return,
            Loss::Content => state.log.len(),
            Loss::Unsynced => 0,
            Loss::Pages => random.random_range(0..=state.log.len()),
        };
        let State { log, synced, .. } = &mut *state;
        for (i, change) in log.drain(..).enumerate() {
            if change.lasts || i < kept {
                apply(synced, &change);
            }
        }
        state.seen = state.synced.clone();
        for content in state.files.values_mut().filter(|content| content.seen != content.synced) {
            match loss {
                Loss::Nothing | Loss::Unsynced => content.seen = content.synced.clone(),
                Loss::Content if random.random() => content.seen = content.synced.clone(),
                Loss::Content => {
                    let length = content.seen.len();
                    content.seen = content.synced.clone();
                    content.seen.resize(length.max(content.synced.len()), 0);
                }
                Loss::Pages => {
                    let mut kept = content.synced.clone();
                    for (i, page) in content.seen.chunks(PAGE).enumerate() {
                        if random.random() {
                            let range = i * PAGE..i * PAGE + page.len();
                            kept.resize(kept.len().max(range.end), 0);
                            kept[range].copy_from_slice(page);
                        }
                    }
                    content.seen = kept;
                }
            }
            content.synced = content.seen.clone();
        }
        state.files.values_mut().for_each(|content| content.lost.clear());
    }

    /// Every file, by path.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        let (mut files, mut folders) = (BTreeMap::new(), vec![(PathBuf::from("/"), ROOT)]);
        while let Some((path, folder)) = folders.pop() {
            for (name, inode) in &state.seen[&folder] {
                match state.files.get(inode) {
                    Some(content) => drop(files.insert(path.join(name), content.seen.clone())),
                    None => folders.push((path.join(name), *inode)),
                }
            }
        }
        files
    }

    /// Changes one bit where it lies.
    pub(crate) fn flip(&self, path: &Path, bit: usize) {
        let mut state = self.state();
        let inode = state.find(path).unwrap().unwrap();
        let content = state.files.get_mut(&inode).unwrap();
        content.seen[bit / 8] ^= 1 << (bit % 8);
        content.synced = content.seen.clone();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// One call: counts it, and fails it if that is planned.
    fn call<T>(&self, does: Does, f: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state();
        state.begin(does)?;
        let done = f(&mut state)?;
        state.end(does);
        Ok(done)
    }
}

impl State {
    fn begin(&mut self, does: Does) -> io::Result<()> {
        if self.is_off {
            return Err(io::Error::other("the power is off"));
        }
        let call = self.calls;
        self.calls += 1;
        match self.plan {
            Plan { failing: Some((at, error)), .. } if at == call => Err(io::Error::from_raw_os_error(error)),
            Plan { full_from: Some(at), .. } if at <= call && does == Does::Grow => {
                Err(io::Error::from_raw_os_error(NO_SPACE))
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, does: Does) {
        if does != Does::Look {
            self.is_off = self.plan.crash_after == Some(self.operations);
            self.operations += 1;
        }
    }

    /// Whether this sync is to be believed.
    fn sync(&mut self, path: &Path) -> bool {
        self.syncs.push((path.to_owned(), self.operations));
        self.plan.lying_sync != Some(self.syncs.len() - 1)
    }

    fn find(&self, path: &Path) -> io::Result<Option<u64>> {
        let mut at = ROOT;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let folder = self.seen.get(&at).ok_or(io::ErrorKind::NotADirectory)?;
            let Some(next) = folder.get(name) else { return Ok(None) };
            at = *next;
        }
        Ok(Some(at))
    }

    fn there(&self, path: &Path) -> io::Result<u64> {
        self.find(path)?.ok_or(io::ErrorKind::NotFound.into())
    }

    fn folder(&self, path: &Path) -> io::Result<u64> {
        let inode = self.there(path)?;
        if self.seen.contains_key(&inode) { Ok(inode) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    /// The folder of a name, and the name.
    fn place<'p>(&self, path: &'p Path) -> io::Result<(u64, &'p OsStr)> {
        Ok((self.folder(path.parent().unwrap())?, path.file_name().unwrap()))
    }

    fn change(&mut self, set: Vec<(u64, OsString, Option<u64>)>) {
        let change = Change { set, lasts: false };
        apply(&mut self.seen, &change);
        self.log.push(change);
    }

    fn make(&mut self, path: &Path) -> io::Result<u64> {
        let (folder, name) = self.place(path)?;
        if self.find(path)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = self.next;
        self.next += 1;
        self.change(vec![(folder, name.to_owned(), Some(inode))]);
        Ok(inode)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.there(from)?;
        let ((old, old_name), (new, new_name)) = (self.place(from)?, self.place(to)?);
        self.change(vec![(old, old_name.to_owned(), None), (new, new_name.to_owned(), Some(inode))]);
        Ok(())
    }
}

pub(crate) const NO_SPACE: i32 = 28;

fn apply(names: &mut Names, change: &Change) {
    for (folder, name, inode) in &change.set {
        let folder = names.entry(*folder).or_default();
        match inode {
            Some(inode) => drop(folder.insert(name.clone(), *inode)),
            None => drop(folder.remove(name)),
        }
    }
}
