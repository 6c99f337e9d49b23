"""Runs a WASI command in the wasmtime of PyPI: wasmtime_py.py MODULE GUEST=HOST[,GUEST=HOST…] ARGUMENT…"""
import sys

from wasmtime import Engine, ExitTrap, Linker, Module, Store, WasiConfig

module, folders, *arguments = sys.argv[1:]
engine = Engine()
linker = Linker(engine)
linker.define_wasi()
config = WasiConfig()
config.argv = ["hearken.wasm", *arguments]
config.inherit_stdin()
config.inherit_stdout()
config.inherit_stderr()
for folder in folders.split(","):
    guest, host = folder.split("=")
    config.preopen_dir(host, guest)
store = Store(engine)
store.set_wasi(config)
instance = linker.instantiate(store, Module.from_file(engine, module))
try:
    instance.exports(store)["_start"](store)
except ExitTrap as ended:
    sys.exit(ended.code)
