//! A plug-in for RemoteMedia: the node `HearkenWhisperNode`, which turns audio into transcript
//! events.
//!
//! RemoteMedia loads it from `libhearken_remotemedia.so`. README.md has a manifest.

mod event;
mod node;
mod parameters;

use remotemedia_plugin_sdk::abi_stable::sabi_trait::TD_Opaque;
use remotemedia_plugin_sdk::abi_stable::std_types::{RErr, ROk, RResult, RString};
use remotemedia_plugin_sdk::adapter::StreamingNodeFfiAdapter;
use remotemedia_plugin_sdk::{FfiNode_TO, FfiNodeBox, FfiNodeFactory, plugin_export};

use crate::node::Node;
use crate::parameters::Parameters;

/// Name that manifests know the node by.
const NODE_TYPE: &str = "HearkenWhisperNode";

/// Makes nodes from the parameters in manifests.
#[derive(Debug, Default)]
pub struct Factory;

impl FfiNodeFactory for Factory {
    fn node_type(&self) -> RString {
        NODE_TYPE.into()
    }

    fn create(&self, parameters: RString) -> RResult<FfiNodeBox, RString> {
        match Parameters::parse(&parameters) {
            Ok(parameters) => {
                let node = StreamingNodeFfiAdapter::new(Node::new(parameters));
                ROk(FfiNode_TO::from_value(node, TD_Opaque))
            }
            Err(message) => RErr(format!("{NODE_TYPE}: {message}").into()),
        }
    }
}

plugin_export!(Factory);
