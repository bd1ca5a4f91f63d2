//! Embeds the console's pages, where they were built (`www/console/dist`). Without them the signer builds as well, and says
//! at `/` how they are built: Node is no requirement of a signer.

use std::{
    env,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let www = manifest.join("../www");
    let dist = www.join("console/dist");
    // A path that is not there would have Cargo run this at every build.
    let watched = [dist.clone(), www.join("console"), www.join("package.json")].into_iter().find(|path| path.exists());
    if let Some(watched) = watched {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = Vec::new();
    if dist.is_dir() {
        find(&dist, &mut files)?;
        if !dist.join("index.html").is_file() {
            return Err(format!("{} has no index.html: build it anew, or remove it", dist.display()).into());
        }
    }
    files.sort();
    let mut code =
        String::from("/// Path below `/` and contents of each file.\npub(super) static FILES: &[(&str, &[u8])] = &[\n");
    for file in files {
        let path = file.strip_prefix(&dist)?.to_str().ok_or("a file of the console has a name that is no UTF-8")?;
        writeln!(code, "    ({path:?}, include_bytes!({:?})),", file.canonicalize()?.display().to_string())?;
    }
    code.push_str("];\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("console.rs"), code)?;
    Ok(())
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            find(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
