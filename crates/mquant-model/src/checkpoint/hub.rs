//! Hub ids, and the local cache they resolve in.
//!
//! The cache is laid out as every Hub client lays it out: `models--org--name/refs/<revision>` holds a commit,
//! `snapshots/<commit>/` the files of it, as links into `blobs/`. The cache folder is `$HF_HUB_CACHE`, else `$HF_HOME/hub`,
//! else `$XDG_CACHE_HOME/huggingface/hub`, else `~/.cache/huggingface/hub`. Nothing is downloaded unless the `hub` feature is
//! built in, and not even then when `HF_HUB_OFFLINE` is set.

use std::env;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::CheckpointError;
use super::folder::open_beneath;
use crate::excerpt::excerpt;

/// The revision meant when none is given.
const MAIN: &str = "main";
/// Longest org, name or revision.
const PART_CAP: usize = 128;

/// `org/name[@revision]`: every part is safe as a step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HubId {
    org: String,
    name: String,
    revision: String,
}

impl HubId {
    /// Reads `org/name[@revision]`; `None` when the text has another form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (repository, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let (org, name) = repository.split_once('/')?;
        let valid = is_part(org) && is_part(name) && revision.split('/').all(is_part) && revision.len() <= PART_CAP;
        valid.then(|| Self { org: org.to_owned(), name: name.to_owned(), revision: revision.to_owned() })
    }

    fn folder(&self) -> String {
        format!("models--{}--{}", self.org, self.name)
    }

    fn show(&self) -> String {
        format!("{}/{}", self.org, self.name)
    }
}

/// Letters, digits, `-`, `_` and `.`; it does not begin with a dot or dash, and holds no `--` or `..`, as on the Hub.
fn is_part(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let ends = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let bytes = text.as_bytes();
    bytes.len() <= PART_CAP
        && ends(bytes.first())
        && bytes.iter().all(|b| plain(*b))
        && !text.contains("--")
        && !text.contains("..")
}

/// The local cache folder.
#[derive(Debug)]
pub(crate) struct HubCache {
    root: PathBuf,
}

impl HubCache {
    /// The cache the environment names.
    pub(crate) fn from_env() -> Self {
        Self::from_variables(|name| env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name| variable(name).map(PathBuf::from);
        let home = || {
            let caches = path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache")));
            path("HF_HOME").unwrap_or_else(|| caches.unwrap_or_default().join("huggingface"))
        };
        Self { root: path("HF_HUB_CACHE").unwrap_or_else(|| home().join("hub")) }
    }

    /// The folder of the id's files, as downloaded before.
    pub(crate) fn snapshot(&self, id: &HubId) -> Result<PathBuf, CheckpointError> {
        let model = self.root.join(id.folder());
        if !model.is_dir() {
            return Err(CheckpointError::NotCached { given: excerpt(&id.show()), tried: model });
        }
        let refused = |reason| CheckpointError::HubRevision {
            given: excerpt(&id.show()),
            revision: excerpt(&id.revision),
            reason,
        };
        let commit = match is_commit(&id.revision) {
            true => id.revision.clone(),
            false => read_ref(&model, &id.revision).ok_or_else(|| refused("there is no such reference"))?,
        };
        if !is_commit(&commit) {
            return Err(refused("the reference does not hold a commit"));
        }
        let snapshot = model.join("snapshots").join(&commit);
        if snapshot.is_dir() { Ok(snapshot) } else { Err(refused("its files are not there")) }
    }

    /// Downloads the files a model needs, those that are not in the cache yet.
    #[cfg(feature = "hub")]
    pub(crate) fn download(&self, id: &HubId) -> Result<PathBuf, CheckpointError> {
        let needed = ["*.safetensors", "*.json", "*.jinja", "merges.txt", "vocab.txt", "*.model"];
        let refused = |e: hf_hub::HFError| CheckpointError::Download {
            given: excerpt(&id.show()),
            reason: excerpt(&e.to_string()),
        };
        let client = hf_hub::HFClient::builder().cache_dir(&self.root).build_sync().map_err(refused)?;
        client
            .model(&id.org, &id.name)
            .snapshot_download()
            .revision(&id.revision)
            .allow_patterns(needed.map(str::to_owned).to_vec())
            .send()
            .map_err(refused)
    }
}

/// Whether the environment forbids downloads, as other Hub clients read it.
#[cfg(feature = "hub")]
pub(crate) fn is_offline() -> bool {
    let value = env::var("HF_HUB_OFFLINE").unwrap_or_default().to_ascii_lowercase();
    matches!(value.as_str(), "1" | "true" | "yes" | "on")
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn read_ref(model: &Path, revision: &str) -> Option<String> {
    let file = open_beneath(&model.join("refs"), Path::new(revision)).ok()?;
    let mut text = String::new();
    file.take(PART_CAP as u64).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Explain;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn id(text: &str) -> HubId {
        HubId::parse(text).unwrap()
    }

    #[test]
    fn ids_have_two_parts_and_perhaps_a_revision() {
        let expected =
            |revision: &str| HubId { org: "Qwen".into(), name: "Qwen2-VL-2B".into(), revision: revision.into() };
        assert_eq!(HubId::parse("Qwen/Qwen2-VL-2B"), Some(expected("main")));
        assert_eq!(HubId::parse("Qwen/Qwen2-VL-2B@refs/pr/3"), Some(expected("refs/pr/3")));
        let refused = [
            "",
            "/",
            "name",
            "/org/name",
            "org/",
            "/name",
            "org/name/more",
            "../name",
            "org/..",
            "org/.name",
            "org/na--me",
            "org/na me",
            "org/name@",
            "org/name@../../x",
            "org/name@/main",
            "org/name@a//b",
            "org/na\\me",
            "org\0/name",
            "./org/name",
            "~/name",
            "org/n\u{e4}me",
            "org/name@main@more",
            "-org/name",
        ];
        for text in refused {
            assert_eq!(HubId::parse(text), None, "{text:?}");
        }
        assert_eq!(HubId::parse(&format!("org/{}", "n".repeat(129))), None);
    }

    #[test]
    fn variables_are_taken_in_the_documented_order() {
        let root = |set: &[(&str, &str)]| {
            HubCache::from_variables(|name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into())).root
        };
        let mut set = vec![("HOME", "/h")];
        assert_eq!(root(&set), Path::new("/h/.cache/huggingface/hub"));
        set.push(("XDG_CACHE_HOME", "/x"));
        assert_eq!(root(&set), Path::new("/x/huggingface/hub"));
        set.push(("HF_HOME", "/f"));
        assert_eq!(root(&set), Path::new("/f/hub"));
        set.push(("HF_HUB_CACHE", "/c"));
        assert_eq!(root(&set), Path::new("/c"));
    }

    #[test]
    fn a_revision_resolves_through_its_reference() {
        let dir = tempfile::tempdir().unwrap();
        let cache = HubCache { root: dir.path().to_owned() };
        assert_eq!(cache.snapshot(&id("org/name")).unwrap_err().code(), "HUB_NOT_CACHED");

        let model = dir.path().join("models--org--name");
        std::fs::create_dir_all(model.join("refs/refs/pr")).unwrap();
        let code = |text: &str| cache.snapshot(&id(text)).unwrap_err();
        assert_eq!(code("org/name").code(), "HUB_REVISION");

        std::fs::write(model.join("refs/main"), format!("{COMMIT}\n")).unwrap();
        assert!(code("org/name").to_string().contains("its files are not there"));
        let snapshot = model.join("snapshots").join(COMMIT);
        std::fs::create_dir_all(&snapshot).unwrap();
        assert_eq!(cache.snapshot(&id("org/name")).unwrap(), snapshot);
        assert_eq!(cache.snapshot(&id(&format!("org/name@{COMMIT}"))).unwrap(), snapshot);

        std::fs::write(model.join("refs/refs/pr/1"), COMMIT).unwrap();
        assert_eq!(cache.snapshot(&id("org/name@refs/pr/1")).unwrap(), snapshot);
        for (name, content) in [("path", "../../../other".as_bytes()), ("binary", &[0xff; 40]), ("long", &[b'a'; 41])] {
            std::fs::write(model.join("refs").join(name), content).unwrap();
            assert_eq!(code(&format!("org/name@{name}")).code(), "HUB_REVISION", "{name}");
        }
    }

    #[test]
    fn a_reference_that_is_a_pipe_or_leads_away_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("models--org--name");
        std::fs::create_dir_all(model.join("refs")).unwrap();
        std::fs::create_dir_all(model.join("snapshots").join(COMMIT)).unwrap();
        std::fs::write(dir.path().join("elsewhere"), COMMIT).unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), model.join("refs/link")).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, model.join("refs/pipe"), fifo, 0o600.into(), 0).unwrap();
        let cache = HubCache { root: dir.path().to_owned() };
        for revision in ["link", "pipe"] {
            let error = cache.snapshot(&id(&format!("org/name@{revision}"))).unwrap_err();
            assert_eq!(error.code(), "HUB_REVISION", "{revision}");
        }
    }
}
