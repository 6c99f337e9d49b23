//! Model names that client libraries send by default: those of OpenAI, Groq and Deepgram, and later
//! ones of the same families.

/// Purposes of Deepgram's models. Some of them are names by themselves.
const USES: [&str; 11] = [
    "atc",
    "automotive",
    "conversationalai",
    "drivethru",
    "finance",
    "general",
    "medical",
    "meeting",
    "phonecall",
    "video",
    "voicemail",
];

/// Returns true if clients of OpenAI, Groq or Deepgram send this model name for transcription by
/// default. Names that promise more than text (speakers, translation) are not included.
pub(super) fn is_usual(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    is_openais(&name) || is_whisper(&name) || is_deepgrams(&name)
}

/// `gpt-4o-transcribe`, `gpt-live-transcribe`, `gpt-4o-mini-transcribe-2025-12-15`,
/// `gpt-realtime-whisper`.
fn is_openais(name: &str) -> bool {
    let Some(kind) = name.strip_prefix("gpt-") else { return false };
    let more = ["diarize", "translate"].iter().any(|other| kind.contains(other));
    !more && kind.split('-').any(|part| part == "transcribe" || part == "realtime")
}

/// OpenAI's `whisper-1`, Groq's `whisper-large-v3-turbo` and `distil-whisper-large-v3-en`,
/// Deepgram's `whisper-medium`.
fn is_whisper(name: &str) -> bool {
    name.strip_prefix("distil-").unwrap_or(name).split('-').next() == Some("whisper")
}

/// `nova-3`, `nova-3-general`, `nova-phonecall`, `enhanced-meeting`, `base`, `video`.
fn is_deepgrams(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let family = |name: &str| ["base", "enhanced", "nova"].contains(&name);
    match parts[..] {
        [one] => family(one) || USES.contains(&one),
        ["nova", version] if version.parse::<u8>().is_ok() => true,
        ["nova", version, used] if version.parse::<u8>().is_ok() => USES.contains(&used),
        [first, used] => family(first) && USES.contains(&used),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_families_are_known_and_others_are_not() {
        for name in [
            "whisper-1",
            "gpt-transcribe",
            "gpt-live-transcribe",
            "gpt-4o-transcribe",
            "gpt-4o-mini-transcribe",
            "gpt-4o-mini-transcribe-2025-12-15",
            "gpt-realtime-whisper",
            "gpt-4o-realtime-preview",
            "gpt-realtime",
            "whisper-large-v3",
            "whisper-large-v3-turbo",
            "distil-whisper-large-v3-en",
            "nova",
            "nova-2",
            "nova-3",
            "nova-4",
            "nova-3-general",
            "nova-3-medical",
            "nova-2-conversationalai",
            "nova-2-drivethru",
            "nova-2-atc",
            "nova-phonecall",
            "enhanced",
            "enhanced-finance",
            "base",
            "base-meeting",
            "voicemail",
            "whisper-medium",
            "Nova-3",
        ] {
            assert!(is_usual(name), "{name}");
        }
        for name in [
            "gpt-9",
            "gpt-4o",
            "gpt-4o-transcribe-diarize",
            "gpt-realtime-translate",
            "tts-1",
            "base.en",
            "nova-x",
            "nova-3-klingon",
            "flux-general-en",
            "whisperer",
            "digits",
            "",
        ] {
            assert!(!is_usual(name), "{name}");
        }
    }
}
