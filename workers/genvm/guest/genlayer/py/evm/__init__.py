"""`gl.evm`: contracts of the Ethereum chain beneath, and their ABI.

    @gl.evm.contract_interface
    class Token:
        class View:
            def balance_of(self, owner: Address, /) -> u256: ...
        class Write:
            def transfer(self, to: Address, amount: u256, /) -> bool: ...

    Token(address).view().balance_of(owner)
    Token(address).emit().transfer(to, u256(5))     # sent when this run is finalized

Source: docs/spec/07-python-sdk.md#10-evm-contracts-glevm.
"""
# ruff: noqa: PLE0604 - the names `bytes1` to `bytes32` are made, not written

from __future__ import annotations

from .abi import BYTES, InplaceTuple, decode, encode, type_name_of
from .contracts import (
    ContractDeclaration,
    ContractProxy,
    MethodEncoder,
    contract_interface,
    selector_of,
    signature_of,
)

globals().update({made.__name__: made for made in BYTES})

__all__ = (
    "ContractDeclaration",
    "ContractProxy",
    "InplaceTuple",
    "MethodEncoder",
    "contract_interface",
    "decode",
    "encode",
    "selector_of",
    "signature_of",
    "type_name_of",
    *(made.__name__ for made in BYTES),
)
