"""The parts of the SDK that need no machine: types, calldata, storage, EVM, schema."""
