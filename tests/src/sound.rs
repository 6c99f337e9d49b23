//! A sound system without hardware: a PulseAudio of our own, whose only microphone hears what is
//! played into it.

use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::speech::Recording;
use crate::wav;

/// The sink that is played into; its monitor is the default source.
const SINK: &str = "cap";

/// A running server. Ends when dropped.
pub struct SoundSystem {
    folder: TempDir,
}

impl SoundSystem {
    /// Starts one; `None`, and a line that says so, where PulseAudio is not installed.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start() -> Option<Self> {
        let system = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let mut server = system.command("pulseaudio");
        server.args(["--daemonize=yes", "-n", "--exit-idle-time=-1", "--use-pid-file=yes"]);
        server.args(["-L", "module-native-protocol-unix"]).arg("-L").arg(null_sink());
        let started = match server.stdin(Stdio::null()).stderr(Stdio::null()).status() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                println!("pulseaudio is not installed: nothing was captured");
                return None;
            }
            started => started.expect("pulseaudio runs"),
        };
        assert!(started.success(), "pulseaudio does not start");
        Some(system)
    }

    /// A command that uses this sound system.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("XDG_RUNTIME_DIR", self.folder.path()).env_remove("PULSE_SERVER");
        // What a user configured is not ours.
        command.env("HOME", self.folder.path());
        command
    }

    /// Plays a recording into the microphone, at its own pace.
    ///
    /// # Panics
    ///
    /// When it cannot be played.
    pub fn play(&self, recording: &Recording) -> Child {
        let file = self.folder.path().join("played.wav");
        let format = recording.format;
        fs::write(&file, wav::pcm16(&recording.samples, format.sample_rate, format.channels))
            .expect("room for a recording");
        self.command("paplay").args(["--device", SINK]).arg(file).spawn().expect("paplay runs")
    }

    /// Pulls the microphone out.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub fn unplug(&self) {
        let done = self.command("pactl").args(["unload-module", "module-null-sink"]).status();
        assert!(done.expect("pactl runs").success());
    }

    /// Returns true if ALSA can reach it, as the device `pulse`.
    pub fn has_alsa_plugin(&self) -> bool {
        let listed = self.command("arecord").arg("-L").output();
        let found = listed
            .is_ok_and(|listed| String::from_utf8_lossy(&listed.stdout).lines().any(|line| line == "pulse"));
        if !found {
            println!("ALSA's pulse plug-in or arecord is not installed: nothing was captured through ALSA");
        }
        found
    }
}

impl Drop for SoundSystem {
    fn drop(&mut self) {
        let _ = self.command("pulseaudio").arg("--kill").stderr(Stdio::null()).status();
    }
}

fn null_sink() -> String {
    format!("module-null-sink sink_name={SINK} rate=48000")
}
