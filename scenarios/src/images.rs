//! Images from Debian packages: one base by mmdebstrap, and a layer for each recipe on top of it.
//!
//! The tag is a hash of everything that goes into the image, so an image is built once and again when its recipe changes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::apt;
use crate::definition::{Image, Scenario};
use crate::error::Error;
use crate::podman::{PodmanEnv, output};

const REPOSITORY: &str = "localhost/retroscope";

/// Grows when the way images are made changes, so that old ones are not taken for new.
const RECIPE_VERSION: &str = "1";

/// A file of a build context: name in the context, and where it lies.
pub(crate) type Context = BTreeMap<PathBuf, PathBuf>;

/// Builds what is missing. Returns image references by the names that the scenario's services use.
pub(crate) fn ensure(
    podman: &PodmanEnv,
    scenario: &Scenario,
    progress: &dyn Fn(&str),
) -> Result<BTreeMap<String, String>, Error> {
    let suite = apt::suite()?;
    let base_tag = short_hash(&[b"base", RECIPE_VERSION.as_bytes(), suite.as_bytes()]);
    let base = format!("{REPOSITORY}/base:{base_tag}");
    let mut references = BTreeMap::new();
    for (name, image) in &scenario.images {
        let context = context(image)?;
        // By the recipe's own name, so that scenarios that use it under other names share the image.
        let recipe = image.recipe.file_name().map_or(name.clone(), |file| file.to_string_lossy().into_owned());
        let reference = format!("{REPOSITORY}/{}-{recipe}:{}", image.owner, context_hash(&base_tag, &context)?);
        if !exists(podman, &reference) {
            if !exists(podman, &base) {
                progress(&format!("building the base image from Debian {suite} (once, about a minute)"));
                build_base(podman, &suite, &base)?;
            }
            progress(&format!("building image {reference}"));
            build_layer(podman, name, &context, &base, &reference)?;
        }
        references.insert(name.clone(), reference);
    }
    Ok(references)
}

fn exists(podman: &PodmanEnv, reference: &str) -> bool {
    let mut command = podman.command();
    command.args(["image", "exists", reference]);
    output(command).is_ok()
}

fn build_base(podman: &PodmanEnv, suite: &str, reference: &str) -> Result<(), Error> {
    let folder = tempfile::tempdir().map_err(Error::write(std::env::temp_dir()))?;
    let tar = folder.path().join("base.tar");
    let sources = apt::sources(suite, folder.path())?;
    let failed = |error| build_error("base", error);

    let mut command = Command::new("mmdebstrap");
    // The package lists stay: every layer installs from them.
    command.args(["--quiet", "--variant=apt", "--skip=cleanup/apt/lists", "--aptopt=Acquire::Languages \"none\""]);
    // A fixed time makes the rootfs depend on the packages alone (https://reproducible-builds.org/specs/source-date-epoch).
    command.env("SOURCE_DATE_EPOCH", "0");
    command.args(&sources.options).arg(suite).arg(&tar).args(&sources.files);
    output(command).map_err(failed)?;

    let mut command = podman.command();
    command.args(["import", "--quiet", "--change", "LABEL io.retroscope.image=base"]).arg(&tar).arg(reference);
    output(command).map_err(failed)?;
    Ok(())
}

fn build_layer(podman: &PodmanEnv, name: &str, context: &Context, base: &str, reference: &str) -> Result<(), Error> {
    let folder = tempfile::tempdir().map_err(Error::write(std::env::temp_dir()))?;
    for (target, source) in context {
        let target = folder.path().join(target);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(Error::write(parent))?;
        }
        fs::copy(source, &target).map_err(Error::read(source))?;
    }
    let mut command = podman.command();
    // chroot: packages are installed in a plain chroot, which needs no runtime and no network of its own.
    command.args(["build", "--quiet", "--isolation", "chroot", "--network", "host", "--layers=false"]);
    command.args([
        "--pull=never",
        "--label",
        &format!("io.retroscope.image={name}"),
        "--build-arg",
        &format!("BASE={base}"),
    ]);
    command.args(["--tag", reference]).arg(folder.path());
    output(command).map_err(|error| build_error(name, error))?;
    Ok(())
}

fn build_error(image: &str, error: Error) -> Error {
    Error::Build { image: image.to_owned(), message: error.to_string() }
}

/// All files of the recipe's folder, and those it adds from elsewhere under their own names.
pub(crate) fn context(image: &Image) -> Result<Context, Error> {
    let mut context = Context::new();
    collect(&image.recipe, Path::new(""), &mut context)?;
    for file in &image.with {
        if let Some(name) = file.file_name() {
            context.insert(name.into(), file.clone());
        }
    }
    Ok(context)
}

fn collect(folder: &Path, below: &Path, context: &mut Context) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(Error::read(folder))? {
        let entry = entry.map_err(Error::read(folder))?;
        let name = below.join(entry.file_name());
        let path = entry.path();
        if path.is_dir() {
            collect(&path, &name, context)?;
        } else {
            context.insert(name, path);
        }
    }
    Ok(())
}

/// What an image is built from, whatever the base.
pub(crate) fn recipe_hash(image: &Image) -> Result<String, Error> {
    context_hash("", &context(image)?)
}

fn context_hash(base_tag: &str, context: &Context) -> Result<String, Error> {
    let mut hash = Sha256::new();
    hash.update(base_tag);
    for (name, path) in context {
        let content = fs::read(path).map_err(Error::read(path))?;
        let mode = fs::metadata(path).map_err(Error::read(path))?.permissions().mode() & 0o111;
        // Lengths first, so that no two contexts give the same bytes.
        let name = name.to_string_lossy();
        hash.update(format!("\n{} {} {mode} {name}\n", name.len(), content.len()));
        hash.update(&content);
    }
    Ok(hex(&hash.finalize()))
}

fn short_hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// 48 bits are enough to tell the versions of a recipe apart.
fn hex(digest: &[u8]) -> String {
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_follows_names_contents_and_modes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("Containerfile");
        fs::write(&file, "FROM x").unwrap();
        let image = Image { owner: "a".into(), recipe: folder.path().to_owned(), with: Vec::new() };
        let hash = || context_hash("base", &context(&image).unwrap()).unwrap();
        let first = hash();
        assert_eq!(first, hash());
        assert_ne!(first, context_hash("other", &context(&image).unwrap()).unwrap());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let second = hash();
        assert_ne!(first, second);
        fs::create_dir(folder.path().join("jobs")).unwrap();
        fs::write(folder.path().join("jobs/a.sh"), "").unwrap();
        assert_ne!(second, hash());
    }
}
