//! Promises about official Whisper models, on human speech. `make models` gets the models; where
//! they are missing nothing is compared, and continuous integration fails.

mod bias;
mod endurance;
mod exact;
mod field;
mod inside;
mod limits;
mod prompts;
mod words;
