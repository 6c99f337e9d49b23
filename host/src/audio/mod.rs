//! From any recording to 16 kHz mono, and from that to utterances.
