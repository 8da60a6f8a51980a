//! The end: the result is put together beside its place, gets its name, and the work goes.

use serde_json::Value;

use super::{BUNDLE, Job, JobError, LOCK};
use mquant_model::bundle::{MANIFEST, Manifest};
use mquant_model::checkpoint::UnfinishedFolder;
use mquant_model::disk::{Disk, remove_tree};

/// A result that is there.
#[derive(Debug)]
pub struct Finished {
    /// What is in it.
    pub manifest: Manifest,
    /// The work folder, if it did not go away; it may be removed, and the next run would.
    pub left_over: Option<std::path::PathBuf>,
}

impl Job {
    /// Lets `build` fill a new folder from the units, adds the manifest, and gives the folder the output's name. What is
    /// there when this returns lasts. After an error the units stay, and the folder goes.
    ///
    /// # Errors
    /// `build` fails or returns another folder, something has the output's name by now, or the system refuses.
    pub fn finish<E: From<JobError>>(
        mut self,
        provenance: &Value,
        build: impl FnOnce(&mut Job, UnfinishedFolder) -> Result<UnfinishedFolder, E>,
    ) -> Result<Finished, E> {
        self.check_journal()?;
        let growing = self.work.join(BUNDLE);
        let folder = UnfinishedFolder::create_at(&self.disk, growing.clone(), &self.output).map_err(JobError::from)?;
        let folder = build(&mut self, folder)?;
        if folder.path() != growing {
            return Err(JobError::OtherFolder { expected: growing, found: folder.path().to_owned() }.into());
        }
        Ok(self.publish(folder, provenance)?)
    }

    fn publish(self, folder: UnfinishedFolder, provenance: &Value) -> Result<Finished, JobError> {
        let manifest = Manifest::of_folder(&*self.disk, folder.path(), &self.fingerprint, provenance)?;
        let bytes = manifest.to_bytes();
        let free = || self.disk.free_bytes(&self.work).ok();
        folder.write(MANIFEST, &bytes).map_err(|e| JobError::writing(e, bytes.len() as u64, free))?;
        folder.finish()?;
        let left_over = remove_work(&*self.disk, &self.work).err().map(|_| self.work.clone());
        Ok(Finished { manifest, left_over })
    }
}

/// Removes a work folder, its lock last: who finds none of it must find the result.
pub(super) fn remove_work(disk: &dyn Disk, work: &std::path::Path) -> std::io::Result<()> {
    for name in disk.list(work)? {
        if name != LOCK {
            remove_tree(disk, &work.join(name))?;
        }
    }
    remove_tree(disk, work)
}
