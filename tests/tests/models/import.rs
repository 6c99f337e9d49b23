//! `hearken models import`: what people have becomes a ggml file, to the byte where there is one to
//! compare with; what is damaged becomes one line, and leaves the store as it was.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hearken::sandbox::SandboxError;
use hearken::store::import::{ImportError, ImportProgress, Importer, Quantization};
use hearken::store::{Store, StoreError, Verified};
use hearken_tests::command::{Ended, binary, run, settle};
use hearken_tests::foreign::Foreign;
use hearken_tests::guest::Guest;
use hearken_tests::model::{SyntheticModel, Weights};
use hearken_tests::official::official;
use tempfile::TempDir;

use super::names;

/// A folder with a store in it, and room for what is to be imported.
struct Desk {
    folder: TempDir,
    store: Store,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("store"));
        Self { folder, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder of Hugging Face's with a small model.
    fn hugging_face(&self, name: &str) -> PathBuf {
        let folder = self.path(name);
        Foreign::new(&small().bytes()).write_hugging_face(&folder);
        folder
    }

    fn ctranslate2(&self, name: &str) -> PathBuf {
        let folder = self.path(name);
        Foreign::new(&small().bytes()).write_ctranslate2(&folder);
        folder
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        self.settle(command.args(["models", "import"]).args(args));
        command
    }

    /// Lets a command use this store.
    fn settle(&self, command: &mut Command) {
        settle(command);
        command.env("HEARKEN_MODELS_DIR", self.store.folder());
    }

    fn import(&self, args: &[&str]) -> Ended {
        run(&mut self.command(args))
    }

    /// One line with these words in it, exit code 1, and a store without a trace.
    #[track_caller]
    fn refuses(&self, args: &[&str], words: &[&str]) {
        let before = names(self.store.folder());
        self.import(args).only_says(1, words);
        assert_eq!(names(self.store.folder()), before);
    }
}

/// Bytes of the entry `<|endoftext|>`, which synthetic models do without.
const END_OF_TEXT: u64 = 4 + 13;

/// 32 wide, so that it can be quantized: 4 MB in half precision.
fn small() -> SyntheticModel {
    SyntheticModel { n_state: 32, n_head: 2, n_audio_ctx: 50, n_text_ctx: 64, ..SyntheticModel::smallest() }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Asserts that two files are equal; `assert_eq!` would print them.
#[track_caller]
fn assert_same(a: &Path, b: &Path) {
    assert!(fs::read(a).unwrap() == fs::read(b).unwrap(), "{} and {} differ", a.display(), b.display());
}

#[test]
fn official_models_come_out_of_both_formats_to_the_byte() {
    let mut compared = 0;
    for name in ["tiny.en", "base"] {
        let Some(file) = official(name) else { continue };
        let foreign = Foreign::new(&fs::read(&file).unwrap());
        let desk = Desk::new();
        let (hugging_face, ctranslate2) = (desk.path("hf"), desk.path("ct2"));
        foreign.write_hugging_face(&hugging_face);
        foreign.write_ctranslate2(&ctranslate2);
        drop(foreign);
        for folder in [&hugging_face, &ctranslate2] {
            let said = desk.import(&[text(folder), "--name", "mine"]);
            said.only_says(0, &["imported", name, "an official model"]);
            let stored = desk.store.find(name).unwrap();
            assert_same(&stored.path, &file);
            assert_eq!(desk.store.verify(&stored).unwrap(), Verified::Catalog);
            desk.store.remove(&stored).unwrap();
            compared += 1;
        }
        for quantization in ["q8_0", "q5_1"] {
            // Once from each format, and once from whisper.cpp's own.
            let from = if quantization == "q8_0" { &hugging_face } else { &ctranslate2 };
            let quantized = format!("{name}-{quantization}");
            for (from, word) in [(from.as_path(), "imported"), (file.as_path(), "is here already")] {
                let said = desk.import(&[text(from), "--quantize", quantization, "--name", "mine"]);
                said.only_says(0, &[word, &quantized]);
            }
            let stored = desk.store.find(&quantized).unwrap();
            assert_eq!(desk.store.verify(&stored).unwrap(), Verified::Catalog);
            compared += 1;
        }
        assert_eq!(names(desk.store.folder()).len(), 4, "two files and what is remembered of them");
    }
    println!(
        "{compared} of 8 files compared with official models; the others need tiny.en and base in the store"
    );
}

#[test]
fn what_is_imported_is_listed_verified_and_used_by_name() {
    let desk = Desk::new();
    let folder = desk.hugging_face("whisper-small-de");
    desk.import(&[text(&folder)]).only_says(0, &["imported whisper-small-de", "ggml-whisper-small-de.bin"]);
    let stored = desk.store.find("whisper-small-de").unwrap();
    assert_eq!((stored.entry, stored.bytes), (None, fs::metadata(&stored.path).unwrap().len()));
    assert_eq!(desk.store.verify(&stored).unwrap(), Verified::Record);
    let record = hearken::store::Record::read(&stored.path).unwrap();
    assert_eq!(record.source, text(&folder.canonicalize().unwrap()));
    let before = small().bytes().len() as u64;
    assert_eq!(stored.bytes, before + END_OF_TEXT, "English vocabularies name the end of the text");

    // Once more, from the other format, and from the file itself.
    let ctranslate2 = desk.ctranslate2("ct2");
    for from in [folder.join("model.safetensors"), ctranslate2.join("model.bin"), stored.path.clone()] {
        let said = desk.import(&[text(&from), "--name", "whisper-small-de"]);
        said.only_says(0, &["whisper-small-de is here already"]);
    }
    assert_eq!(names(desk.store.folder()), ["ggml-whisper-small-de.bin", "ggml-whisper-small-de.bin.json"]);
}

#[test]
fn quantized_blocks_are_those_of_native_ggml() {
    let desk = Desk::new();
    let file = desk.path("ggml-little.bin");
    let model = small().bytes();
    fs::write(&file, &model).unwrap();
    let mut compared = 0;
    for quantization in Quantization::ALL {
        let importer = Importer::new(&desk.store).quantize(quantization);
        let stored = importer.import(&file, |_| {}).unwrap();
        assert_eq!(stored.name, format!("little-{quantization}"));
        let quantized = fs::read(&stored.path).unwrap();
        let header = hearken::model::check(&quantized[..], quantized.len() as u64).unwrap().header;
        assert_eq!(header.ftype().name(), quantization.name());
        // The file's tail is its tensors: what native ggml makes of each is found in it, in order.
        let mut rest = &quantized[..];
        for tensor in Foreign::new(&model).tensors {
            let expected = match tensor.dtype == "F16" && tensor.shape.len() == 2 {
                true => hearken_native::quantize(quantization.name(), &tensor.bytes),
                false => tensor.bytes,
            };
            let name = rest.windows(tensor.name.len()).position(|window| window == tensor.name.as_bytes());
            let data = &rest[name.unwrap() + tensor.name.len()..];
            assert!(data.starts_with(&expected), "{} in {quantization}", tensor.name);
            rest = &data[expected.len()..];
            compared += expected.len();
        }
        assert!(rest.is_empty());
        // The same from another format, but for the vocabulary and the order of tensors.
        let folder = desk.hugging_face("hf");
        let stored = importer.import(&folder, |_| {}).unwrap();
        assert_eq!(stored.bytes, quantized.len() as u64 + END_OF_TEXT);
    }
    println!("{compared} bytes of quantized models compared with native ggml's");
}

#[test]
fn a_ggml_file_is_checked_and_taken_in_as_it_is() {
    let desk = Desk::new();
    let file = desk.path("ggml-mine.bin");
    let model = SyntheticModel { weights: Weights::Q8_0, ..small() }.bytes();
    fs::write(&file, &model).unwrap();
    desk.import(&[text(&file)]).only_says(0, &["imported mine "]);
    assert_same(&desk.store.find("mine").unwrap().path, &file);
    desk.refuses(&[text(&file), "--quantize", "q5_1"], &["quantized already (q8_0)", "f16"]);
    for cut in [0, 3, 100, 5000, model.len() / 2, model.len() - 1] {
        fs::write(&file, &model[..cut]).unwrap();
        desk.refuses(&[text(&file), "--name", "cut"], &["ggml-mine.bin"]);
    }
}

#[test]
fn a_name_is_never_taken_from_another_model() {
    let desk = Desk::new();
    let folder = desk.hugging_face("mine");
    let other = desk.path("ggml-mine.bin");
    fs::write(&other, SyntheticModel { seed: 2, ..small() }.bytes()).unwrap();
    desk.import(&[text(&folder)]).only_says(0, &["imported mine "]);
    desk.refuses(&[text(&other)], &["mine", "--name", "--force"]);
    assert_eq!(desk.store.verify(&desk.store.find("mine").unwrap()).unwrap(), Verified::Record);
    desk.import(&[text(&other), "--force"]).only_says(0, &["imported mine "]);
    assert_same(&desk.store.find("mine").unwrap().path, &other);
    assert_eq!(desk.store.verify(&desk.store.find("mine").unwrap()).unwrap(), Verified::Record);

    // Nor from an official one that is not here.
    desk.refuses(&[text(&folder), "--name", "base.en"], &["base.en is the name of an official model"]);
    let official = desk.hugging_face("tiny");
    desk.import(&[text(&official), "--quantize", "q8_0"]).only_says(0, &["imported tiny-q8_0-imported "]);
    for name in ["../x", "", "-v", "a b"] {
        desk.refuses(&[text(&folder), &format!("--name={name}")], &["name"]);
    }
}

#[test]
fn other_models_are_refused_with_the_remedy() {
    let desk = Desk::new();
    let put = |name: &str, content: &[u8]| {
        let path = desk.path(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    desk.refuses(&[text(&desk.path("nowhere"))], &["nowhere", "check the path"]);
    let empty = desk.path("empty");
    fs::create_dir(&empty).unwrap();
    desk.refuses(&[text(&empty)], &["empty has no weights", "model.safetensors", "model.bin"]);
    for (name, content) in [("tiny.pt", &b"PK\x03\x04zip"[..]), ("old.pt", b"\x80\x02}q\x00")] {
        desk.refuses(&[&put(name, content)], &[name, "PyTorch", "run code", "model.safetensors"]);
    }
    fs::write(empty.join("pytorch_model.bin"), b"PK\x03\x04zip").unwrap();
    desk.refuses(&[text(&empty)], &["empty", "pickles", "model.safetensors"]);
    desk.refuses(&[&put("x.gguf", b"GGUF\x03\0\0\0")], &["x.gguf", "GGUF"]);
    desk.refuses(&[&put("short", b"l")], &["short is cut off"]);
    desk.refuses(&[&put("zeros", &[0; 4096])], &["zeros", "ggml"]);

    let folder = desk.hugging_face("hf");
    let (config, vocab) = (folder.join("config.json"), folder.join("vocab.json"));
    let saved = fs::read(&vocab).unwrap();
    fs::remove_file(&vocab).unwrap();
    desk.refuses(&[text(&folder)], &["hf has no vocabulary", "vocab.json", "gpt2.tiktoken", "--vocabulary"]);
    let elsewhere = put("vocab-of-it.json", &saved);
    desk.import(&[text(&folder), "--vocabulary", &elsewhere]).only_says(0, &["imported hf "]);
    fs::remove_file(&config).unwrap();
    desk.refuses(&[text(&folder)], &["hf has no config.json"]);
}

#[test]
fn damaged_weights_are_named_and_leave_nothing_behind() {
    let desk = Desk::new();
    let folder = desk.hugging_face("hf");
    let (file, binary) = (folder.join("model.safetensors"), desk.ctranslate2("ct2").join("model.bin"));
    for path in [&file, &binary] {
        let whole = fs::read(path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        // Every 4 KiB is tried where it costs no process (`store::import`).
        for cut in [0, 5, 4096, 8192, whole.len() / 2 / 4096 * 4096, whole.len() - 1] {
            fs::write(path, &whole[..cut]).unwrap();
            desk.refuses(&[text(path)], &[name]);
        }
        fs::write(path, &whole).unwrap();
    }
    let whole = fs::read(&file).unwrap();
    for len in [1u64 << 63, 200 << 30] {
        let lie = [&len.to_le_bytes(), &whole[8..]].concat();
        fs::write(&file, lie).unwrap();
        desk.refuses(&[text(&folder)], &["model.safetensors: the header", &len.to_string()]);
    }
    // A hole of 200 GB costs neither disk nor memory nor time.
    File::options().write(true).open(&file).unwrap().set_len(200 << 30).unwrap();
    desk.refuses(&[text(&folder)], &["model.safetensors"]);

    // A weight is read only after much is written.
    for (bits, word) in [(0x7e00u16, "NaN"), (0xfc00, "-inf")] {
        let mut model = Foreign::new(&small().bytes());
        model.tensor("decoder.blocks.0.mlp.2.weight").bytes[100..102].copy_from_slice(&bits.to_le_bytes());
        model.write_hugging_face(&folder);
        desk.refuses(&[text(&folder)], &["model.safetensors", "decoder.layers.0.fc2.weight", word]);
    }
    let mut model = Foreign::new(&small().bytes());
    model.tensor("encoder.blocks.0.mlp.0.weight").shape = vec![64, 64];
    model.write_hugging_face(&folder);
    desk.refuses(&[text(&folder)], &["encoder.layers.0.fc1.weight", "shape [64, 64]", "[128, 32]"]);
    model.tensors.retain(|tensor| tensor.name != "encoder.blocks.0.mlp.0.weight");
    model.write_hugging_face(&folder);
    desk.refuses(&[text(&folder)], &["lacks 1 tensors", "encoder.blocks.0.mlp.0.weight"]);

    // The vocabulary of another model.
    let multilingual = Foreign::new(&small().multilingual(false).bytes());
    multilingual.write_hugging_face(&desk.path("other"));
    let other = desk.path("other/vocab.json");
    let ct2 = binary.parent().unwrap();
    desk.refuses(&[text(ct2), "--vocabulary", text(&other)], &["other/vocab.json", "other weights"]);
}

#[test]
fn a_folder_without_permission_is_named() {
    let desk = Desk::new();
    let folder = desk.hugging_face("hf");
    let permit = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    permit(desk.folder.path(), 0o755);
    permit(&folder, 0o000);
    let root = rustix::process::geteuid().is_root();
    let import = |path: &Path, store: &Path| {
        let mut command = desk.command(&[text(path)]);
        command.env("HEARKEN_MODELS_DIR", store).env("HOME", "/nonexistent");
        if root {
            // Nobody: permissions do not hold for root.
            command.uid(65_534).gid(65_534);
        }
        run(&mut command)
    };
    // Nobody may not reach what was built under /root, for one.
    let reachable = {
        let mut command = Command::new(binary());
        if root {
            command.uid(65_534).gid(65_534);
        }
        command.arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if !reachable {
        println!("skipped: {} cannot be run without privileges", binary().display());
        return;
    }
    import(&folder, &desk.path("store")).only_says(1, &["hf", "Permission denied", "permissions"]);
    permit(&folder, 0o755);
    let locked = desk.path("locked");
    fs::create_dir(&locked).unwrap();
    permit(&locked, 0o555);
    import(&folder, &locked).only_says(1, &["locked", "Permission denied"]);
    assert_eq!(names(&locked), [""; 0]);
}

#[test]
fn a_full_disk_is_an_error_and_leaves_nothing_behind() {
    let desk = Desk::new();
    let folder = desk.hugging_face("hf");
    // No file may be longer than 1 MiB.
    let mut limited = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 2048; exec \"$0\" models import \"$1\"";
    desk.settle(limited.args(["-c", script]).arg(binary()).arg(&folder));
    run(&mut limited).only_says(1, &["hf needs", "MiB more", "make room"]);
    assert_eq!(names(desk.store.folder()), [""; 0]);

    // A disk of 4 MiB.
    let disk = desk.path("disk");
    fs::create_dir(&disk).unwrap();
    let mut unshared = Command::new("unshare");
    let script = "mount -t tmpfs -o size=4m none \"$2\" || exit 99; \"$0\" models import \"$1\"; code=$?; ls -A \"$2\"; exit $code";
    settle(
        unshared
            .args(["--mount", "--map-root-user", "sh", "-c", script])
            .arg(binary())
            .args([&folder, &disk]),
    );
    match unshared.env("HEARKEN_MODELS_DIR", &disk).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Ok(child) => {
            let ended = hearken_tests::command::ended(child);
            if matches!(ended.code, Some(0 | 1)) && ended.stderr.starts_with("hearken: ") {
                ended.only_says(1, &["hf needs", "disk", "has 4 MiB", "make room"]);
            } else {
                println!("skipped: no disk can be mounted here");
            }
        }
        Err(error) => println!("skipped: unshare: {error}"),
    }
}

#[test]
fn two_imports_at_once_make_one_model() {
    let desk = Desk::new();
    let (one, other) = (desk.hugging_face("hf"), desk.ctranslate2("ct2"));
    let imports = [&one, &other, &one, &other].map(|folder| {
        let mut command = desk.command(&[text(folder), "--name", "mine"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    let ended = imports.map(hearken_tests::command::ended);
    let imported = ended.iter().filter(|ended| ended.stderr.contains("imported mine ")).count();
    let here = ended.iter().filter(|ended| ended.stderr.contains("mine is here already")).count();
    assert_eq!((imported, here), (1, 3), "{ended:?}");
    assert!(ended.iter().all(|ended| ended.code == Some(0)));
    assert_eq!(names(desk.store.folder()), ["ggml-mine.bin", "ggml-mine.bin.json"]);
}

#[test]
fn an_import_waits_for_another_of_its_name_and_can_be_interrupted() {
    let desk = Desk::new();
    let folder = desk.hugging_face("hf");
    let held = desk.store.folder().join("ggml-hf.bin.import");
    fs::create_dir_all(desk.store.folder()).unwrap();
    let file = File::create(&held).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let flag = Arc::new(AtomicBool::new(false));
    let mut seen = Vec::new();
    let importer = Importer::new(&desk.store).interrupt(Arc::clone(&flag));
    let result = importer.import(&folder, |progress| {
        flag.store(true, Ordering::Relaxed);
        seen.push(progress);
    });
    assert!(matches!(result, Err(StoreError::Import(ImportError::Interrupted))), "{result:?}");
    assert_eq!(seen, [ImportProgress::Waiting]);
    // What another process writes is left to it.
    assert_eq!(names(desk.store.folder()), ["ggml-hf.bin.import"]);

    // What a killed import left behind is of no consequence.
    drop(file);
    let flag = Arc::new(AtomicBool::new(false));
    let result = Importer::new(&desk.store).interrupt(Arc::clone(&flag)).import(&folder, |progress| {
        flag.store(matches!(progress, ImportProgress::Written { .. }), Ordering::Relaxed);
    });
    assert!(matches!(result, Err(StoreError::Import(ImportError::Interrupted))), "{result:?}");
    assert_eq!(names(desk.store.folder()), [""; 0]);
    Importer::new(&desk.store).import(&folder, |_| {}).unwrap();
}

#[test]
fn a_guest_that_does_not_quantize_ends_the_import_only() {
    let desk = Desk::new();
    let folder = desk.hugging_face("hf");
    let export = |body: &str| Guest {
        fields: format!(r#"(func (export "hearken_quantize") (param i32 i32) (result i32) {body})"#),
        ..Guest::default()
    };
    let no_buffer = Guest { buffer: "(i32.const 0)".to_owned(), ..export("(i32.const 0)") };
    let nowhere = Guest { buffer: "(i32.const 0x7fffff00)".to_owned(), ..export("(i32.const 0)") };
    for (name, guest, words) in [
        ("none", Guest::default(), "hearken_quantize"),
        ("refuses", export("(i32.const 1)"), "could not read the request"),
        ("an unknown status", export("(i32.const 99)"), "status 99"),
        ("traps", export("unreachable"), "trapped"),
        ("no room", no_buffer, "no room"),
        ("outside", nowhere, "of a memory of"),
    ] {
        let importer = Importer::new(&desk.store).quantize(Quantization::Q8_0).guest(guest.module());
        let error = importer.import(&folder, |_| {}).unwrap_err();
        assert!(matches!(error, StoreError::Import(ImportError::Quantize(_))), "{name}: {error:?}");
        assert!(error.to_string().contains(words), "{name}: {error}");
        assert_eq!(names(desk.store.folder()), [""; 0], "{name}");
    }
    let module = Importer::new(&desk.store).quantize(Quantization::Q8_0).guest(*b"no module");
    let error = module.import(&folder, |_| {}).unwrap_err();
    assert!(
        matches!(error, StoreError::Import(ImportError::Quantize(SandboxError::NotAGuest(_)))),
        "{error:?}"
    );
}
