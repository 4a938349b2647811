"""Every public name of the SDK, looked up in a real contract.

Source: docs/spec/07-python-sdk.md#1-modules.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.python_contracts import Chain, Contract, running_chain

CONTRACT = """
from genlayer import *
import importlib

def look_up(path):
    module, _, name = path.partition(":")
    try:
        found = importlib.import_module(module)
        return "there" if getattr(found, name, None) is not None else "missing"
    except ImportError:
        return "no module"

class Main(gl.Contract):
    @gl.public.view
    def names(self, modules: list[str]) -> list:
        return [sorted(set(importlib.import_module(name).__all__)) for name in modules]

    @gl.public.view
    def look_up(self, paths: list[str]) -> list:
        return [look_up(path) for path in paths]

    @gl.public.view
    def by_star(self) -> list:
        names = {}
        exec("from genlayer import *", names)
        del names["__builtins__"]
        return sorted(names)

    @gl.public.view
    def same(self, pairs: list) -> list:
        names = {"gl": gl, "importlib": importlib}
        return [eval(one, names) is importlib.import_module(other) for one, other in pairs]

    @gl.public.view
    def enums(self, kinds: list[str]) -> list:
        from genlayer.py import public_abi
        kinds = [getattr(public_abi, kind) for kind in kinds]
        found = [[(each.name, each.value) for each in kind] for kind in kinds]
        text = f"{public_abi.VmError.OOM} {public_abi.ResultCode.RETURN}"
        rest = [public_abi.EVENT_MAX_TOPICS, public_abi.ABSENT_VERSION, public_abi.CODE_SLOT_OFFSET]
        return [found, text, rest]

    @gl.public.view
    def unknown(self, names: list[str]) -> list:
        found = []
        for name in names:
            try:
                found.append(str(getattr(gl, name)))
            except AttributeError as error:
                found.append(str(error))
        return found
"""

INTEGERS = [f"{sign}{bits}" for sign in "ui" for bits in range(8, 257, 8)]

PUBLIC = {
    "genlayer": (
        "gl Address allow_storage Array DynArray Keccak256 TreeMap bigint " + " ".join(INTEGERS)
    ),
    "genlayer.gl": (
        "Contract Event Lazy MessageRawType MessageType advanced calldata contract_interface "
        "deploy_contract eq_principle evm get_contract_at message message_raw nondet private "
        "public storage vm wasi"
    ),
    "genlayer.gl.vm": (
        "Result Return UserError VMError run_nondet run_nondet_unsafe spawn_sandbox unpack_result"
    ),
    "genlayer.gl.eq_principle": "prompt_comparative prompt_non_comparative strict_eq",
    "genlayer.gl.nondet": "Image exec_prompt web",
    "genlayer.gl.nondet.web": "Response delete get head patch post render request",
    "genlayer.gl.advanced": "emit_raw_event user_error_immediate",
    "genlayer.gl.annotations": "private public",
    "genlayer.gl.events": "Event",
    "genlayer.gl.genvm_contracts": (
        "contract_interface deploy_contract Contract get_contract_at BaseContract ContractProxy"
    ),
    "genlayer.py.calldata": (
        "encode decode to_str Encodable EncodableWithDefault Decoded CalldataEncodable "
        "DecodingError"
    ),
    "genlayer.py.keccak": "Keccak256 KeccakHash",
    "genlayer.py.storage": (
        "Array DynArray Indirection Manager ROOT_SLOT_ID Root Slot TreeMap VLA allow_storage "
        "inmem_allocate"
    ),
    "genlayer.py.storage.tree_map": "TreeMap Comparable",
    "genlayer.py.storage.vec": "DynArray Array",
    "genlayer.py.storage.root": "Root",
    "genlayer.py.storage.annotations": "allow_storage",
    "genlayer.py.evm": (
        "contract_interface signature_of type_name_of selector_of MethodEncoder encode decode "
        "ContractProxy ContractDeclaration InplaceTuple "
        + " ".join(f"bytes{size}" for size in range(1, 33))
    ),
    "genlayer.py.get_schema": "get_schema",
    "_genlayer_wasi": "storage_read storage_write get_balance get_self_balance gl_call",
}
"""The `__all__` of each module; each of the names is there as well."""

TYPES = ["bigint", "Lazy", "Address", "SizedArray", "Keccak256", *INTEGERS]

BESIDE = {
    "genlayer": "Lazy Rollback",
    "genlayer.gl": " ".join(
        [
            "trace trace_time_micro BaseContract ContractProxy",
            "UserError Rollback ContractAt exec_prompt get_webpage eq_principle_strict_eq",
            "eq_principle_prompt_comparative eq_principle_prompt_non_comparative",
            *TYPES,
        ]
    ),
    "genlayer.gl.nondet": "NondetException ExecPromptKwArgs",
    "genlayer.gl.genvm_contracts": "ON ErasedMethods GenVMContractDeclaration",
    "genlayer.py.types": " ".join(TYPES),
    "genlayer.py.storage": "copy_to_memory",
    "genlayer.py.public_abi": (
        "ResultCode StorageType EntryKind MemoryLimiterConsts SpecialMethod VmError "
        "EVENT_MAX_TOPICS ABSENT_VERSION CODE_SLOT_OFFSET"
    ),
    "genlayer.py._internal": "create2_address",
}
"""What can be named without standing in `__all__`."""

ENUMS: dict[str, dict[str, int | str]] = {
    "ResultCode": {"RETURN": 0, "USER_ERROR": 1, "VM_ERROR": 2, "INTERNAL_ERROR": 3},
    "StorageType": {"DEFAULT": 0, "LATEST_FINAL": 1, "LATEST_NON_FINAL": 2},
    "EntryKind": {"MAIN": 0, "SANDBOX": 1, "CONSENSUS_STAGE": 2},
    "MemoryLimiterConsts": {"TABLE_ENTRY": 64, "FILE_MAPPING": 256, "FD_ALLOCATION": 96},
    "SpecialMethod": {"GET_SCHEMA": "#get-schema", "ERRORED_MESSAGE": "#error"},
    "VmError": {
        "TIMEOUT": "timeout",
        "EXIT_CODE": "exit_code",
        "VALIDATOR_DISAGREES": "validator_disagrees",
        "VERSION_TOO_BIG": "version_too_big",
        "OOM": "OOM",
        "INVALID_CONTRACT": "invalid_contract",
    },
}

SAME = [
    ["gl", "genlayer.gl"],
    ["gl.calldata", "genlayer.py.calldata"],
    ["gl.storage", "genlayer.py.storage"],
    ["gl.evm", "genlayer.py.evm"],
    ["gl.wasi", "_genlayer_wasi"],
    ["gl.vm", "genlayer.gl.vm"],
    ["gl.nondet", "genlayer.gl.nondet"],
    ["gl.nondet.web", "genlayer.gl.nondet.web"],
    ["gl.eq_principle", "genlayer.gl.eq_principle"],
    ["gl.advanced", "genlayer.gl.advanced"],
]


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


@pytest.fixture(scope="module")
def contract(chain: Chain) -> Contract:
    return chain.deploy(CONTRACT)


def test_each_module_names_what_it_offers(contract: Contract) -> None:
    found = contract.call("names", list(PUBLIC))
    assert dict(zip(PUBLIC, found, strict=True)) == {
        module: sorted(names.split()) for module, names in PUBLIC.items()
    }


def test_each_name_is_there(contract: Contract) -> None:
    tables = (*PUBLIC.items(), *BESIDE.items())
    paths = [f"{module}:{name}" for module, names in tables for name in names.split()]
    found = contract.call("look_up", paths)
    assert [path for path, state in zip(paths, found, strict=True) if state != "there"] == []


def test_a_star_gives_no_other_names(contract: Contract) -> None:
    assert contract.call("by_star") == sorted(PUBLIC["genlayer"].split())


def test_one_module_has_one_identity_however_it_is_reached(contract: Contract) -> None:
    found = contract.call("same", SAME)
    assert [pair for pair, same in zip(SAME, found, strict=True) if not same] == []


def test_the_constants_of_the_protocol(contract: Contract) -> None:
    found, text, rest = contract.call("enums", list(ENUMS))
    assert found == [[list(pair) for pair in members.items()] for members in ENUMS.values()]
    assert text == "OOM 0"
    assert rest == [4, "v0.1.0", 1]


def test_gl_has_no_other_attribute(contract: Contract) -> None:
    names = ["nothing", "_nothing", "sys2"]
    assert contract.call("unknown", names) == [
        f"module 'genlayer.gl' has no attribute {name!r}" for name in names
    ]
