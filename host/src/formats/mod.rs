//! Transcripts as text, subtitles and JSON.
