// Decode calldata for display (docs/spec/02-calldata.md).

const ATOM = 0, POSITIVE = 1, NEGATIVE = 2, BYTES = 3, TEXT = 4, LIST = 5, MAP = 6;
const MAX_DEPTH = 128;

/** The address of an account or a contract, 20 bytes. */
export class Address {
  constructor(raw) {
    this.raw = raw;
  }
}

/** Decode all of `raw`; integers become BigInt, maps Map. Throws when it is not calldata. */
export function decode(raw) {
  const reader = new Reader(raw);
  const value = reader.value(0);
  if (reader.offset !== raw.length) throw new Error("something comes after the value");
  return value;
}

class Reader {
  offset = 0;
  #raw;
  #text = new TextDecoder("utf-8", { fatal: true });

  constructor(raw) {
    this.#raw = raw;
  }

  value(depth) {
    if (depth > MAX_DEPTH) throw new Error("nested too deep");
    const head = this.#number();
    const rest = head >> 3n;
    switch (Number(head & 7n)) {
      case ATOM: return this.#atom(rest);
      case POSITIVE: return rest;
      case NEGATIVE: return -1n - rest;
      case BYTES: return this.#bytes(rest);
      case TEXT: return this.#text.decode(this.#bytes(rest));
      case LIST: return Array.from({ length: this.#count(rest) }, () => this.value(depth + 1));
      case MAP: return new Map(Array.from({ length: this.#count(rest) }, () => this.#entry(depth)));
      default: throw new Error("unknown type");
    }
  }

  #entry(depth) {
    const key = this.#text.decode(this.#bytes(this.#number()));
    return [key, this.value(depth + 1)];
  }

  #atom(which) {
    if (which === 3n) return new Address(this.#bytes(20n));
    if (which > 2n) throw new Error("unknown atom");
    return [null, false, true][Number(which)];
  }

  /** The number of items; each takes at least a byte, so a larger number is invalid. */
  #count(length) {
    if (length > BigInt(this.#raw.length - this.offset)) throw new Error("cut off");
    return Number(length);
  }

  #bytes(length) {
    const end = this.offset + this.#count(length);
    const part = this.#raw.subarray(this.offset, end);
    this.offset = end;
    return part;
  }

  #number() {
    let number = 0n;
    for (let shift = 0n; ; shift += 7n) {
      if (this.offset >= this.#raw.length) throw new Error("cut off");
      const byte = this.#raw[this.offset];
      this.offset += 1;
      number |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return number;
    }
  }
}

const SHOWN_BYTES = 256;
const SHOWN_TEXT = 64 << 10;

/** Write a value like JSON, with bytes and addresses in hex; the length is bounded. */
export function written(value, indent = "") {
  const text = writtenWhole(value, indent);
  return text.length > SHOWN_TEXT ? `${text.slice(0, SHOWN_TEXT)}…` : text;
}

function writtenWhole(value, indent) {
  const inner = `${indent}  `;
  if (value instanceof Address) return hex(value.raw);
  if (value instanceof Uint8Array) return writtenBytes(value);
  if (Array.isArray(value)) {
    return enclosed("[", value.map((item) => written(item, inner)), "]", indent);
  }
  if (value instanceof Map) {
    const entries = [...value].map(([key, item]) => `${JSON.stringify(key)}: ${written(item, inner)}`);
    return enclosed("{", entries, "}", indent);
  }
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

function enclosed(open, parts, close, indent) {
  if (!parts.length) return open + close;
  const line = parts.join(", ");
  if (line.length < 60 && !line.includes("\n")) return `${open}${line}${close}`;
  return `${open}\n${parts.map((part) => `${indent}  ${part}`).join(",\n")}\n${indent}${close}`;
}

function writtenBytes(raw) {
  if (raw.length <= SHOWN_BYTES) return hex(raw);
  return `${hex(raw.subarray(0, SHOWN_BYTES))}… (${raw.length} bytes)`;
}

/** `0x` and two digits for each byte. */
export function hex(raw) {
  return `0x${Array.from(raw, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
