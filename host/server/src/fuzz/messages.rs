//! Messages that are in order: tests change them, and the fuzzer starts from them.

/// The parser that takes a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parser {
    /// hearken's own protocol.
    Native,
    /// Messages of Deepgram's first version and of Flux, and their queries.
    Deepgram,
    Realtime,
    Vosk,
    Wyoming,
    /// AudioSocket, Twilio, Vapi and jambonz.
    Telephony,
    /// A form, whose first line names the boundary.
    Form,
    /// The value of a header, or a key's hash.
    Header,
    /// A file.
    Recording,
}

/// One message of each kind, as clients send them.
#[rustfmt::skip]
pub(super) const MESSAGES: [(Parser, &str); 32] = [
    (Parser::Native, r#"{"type":"start","encoding":"s16le","sample_rate":48000,"channels":2,"model":"m","language":"en","step_ms":500}"#),
    (Parser::Native, r#"{"type":"resume","stream":"0123456789abcdef","received":17}"#),
    (Parser::Native, r#"{"type":"ack","seq":18446744073709551615}"#),
    (Parser::Native, r#"{"type":"flush"}"#),
    (Parser::Native, r#"{"type":"finish"}"#),
    (Parser::Deepgram, "encoding=linear16&sample_rate=16000&channels=1&endpointing=300&utterance_end_ms=1000&keyterm=a&interim_results=true"),
    (Parser::Deepgram, r#"{"type":"KeepAlive"}"#),
    (Parser::Deepgram, r#"{"type":"Configure","thresholds":{"eot_threshold":0.8,"eot_timeout_ms":4000},"keyterms":["one"]}"#),
    (Parser::Deepgram, r#"{"type":"Finalize"}"#),
    (Parser::Deepgram, r#"{"type":"CloseStream"}"#),
    (Parser::Deepgram, "model=flux-general-en&encoding=linear16&sample_rate=16000&eot_threshold=0.8&eager_eot_threshold=0.5&eot_timeout_ms=5000&keyterm=a"),
    (Parser::Realtime, r#"{"type":"session.update","session":{"type":"transcription","audio":{"input":{"format":{"type":"audio/pcm","rate":24000},"transcription":{"model":"m","language":"en","prompt":"p"},"turn_detection":{"type":"server_vad","prefix_padding_ms":300,"silence_duration_ms":500}}}}}"#),
    (Parser::Realtime, r#"{"type":"transcription_session.update","session":{"input_audio_format":"pcm16","turn_detection":null}}"#),
    (Parser::Realtime, r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#),
    (Parser::Realtime, r#"{"type":"input_audio_buffer.commit"}"#),
    (Parser::Realtime, r#"{"type":"input_audio_buffer.clear"}"#),
    (Parser::Vosk, r#"{"config":{"sample_rate":"16000","words":true,"phrase_list":["one","[unk]"],"max_alternatives":1,"language":"en"}}"#),
    (Parser::Vosk, r#"{"eof":1}"#),
    (Parser::Wyoming, "{\"type\":\"audio-start\",\"data\":{\"rate\":16000,\"width\":2},\"data_length\":14,\"payload_length\":4}\n{\"channels\":1}\0\0\0\0"),
    (Parser::Wyoming, "{\"type\":\"describe\"}\n"),
    (Parser::Wyoming, "{\"type\":\"transcribe\",\"data\":{\"name\":\"tiny.en\",\"language\":\"en\"}}\n{\"type\":\"audio-stop\"}\n"),
    (Parser::Telephony, r#"{"event":"media","media":{"track":"inbound","payload":"//8="}}"#),
    (Parser::Telephony, r#"{"type":"start","encoding":"linear16","container":"raw","sampleRate":16000,"channels":2}"#),
    (Parser::Telephony, r#"{"type":"start","language":"en-US","format":"raw","encoding":"LINEAR16","interimResults":true,"sampleRateHz":8000,"options":{"channels":2,"hints":["one"]}}"#),
    (Parser::Telephony, "\x01\0\x10fedcba9876543210\x10\0\x04\0\0\0\0\x03\0\x015\0\0\0"),
    (Parser::Telephony, r#"{"event":"start","start":{"streamSid":"MZ0","callSid":"CA0","tracks":["inbound","outbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"language":"en"}}}"#),
    (Parser::Telephony, r#"{"event":"stop","stop":{"callSid":"CA0"}}"#),
    (Parser::Telephony, r#"{"type":"stop"}"#),
    (Parser::Form, "x\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--x\r\nContent-Disposition: form-data; name=\"temperature\"\r\n\r\n0.5\r\n--x--\r\n"),
    (Parser::Header, "hearken, hearken.key.hk_0123456789, token"),
    (Parser::Header, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (Parser::Recording, "RIFF\x2e\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\0\x7d\0\0\0\0\x01\0\x02\0\x10\0data\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0"),
];
