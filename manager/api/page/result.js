// The result of a run: one byte that says how the call ended, then calldata
// (docs/spec/04-executor.md).

import { decode, hex, written } from "./calldata.js";

const KINDS = [
  { name: "Returned", tone: "good" },
  { name: "User error", tone: "warn" },
  { name: "VM error", tone: "bad" },
  { name: "Internal error", tone: "bad" },
];
const VM_ERROR = 2;

/** Decode a result for display: `name`, `tone`, `text`, and what a return has changed. */
export function readResult(raw) {
  const kind = KINDS[raw[0]] ?? { name: `Unknown result code ${raw[0]}`, tone: "bad" };
  const { data, fields } = contents(raw.subarray(1));
  return {
    ...kind,
    isVmError: raw[0] === VM_ERROR,
    data,
    text: typeof data === "string" ? data : written(data),
    effects: effects(fields),
  };
}

/** The value to show: executors send a map with `data`; anything else is shown as it is. */
function contents(raw) {
  try {
    const value = decode(raw);
    if (value instanceof Map && value.has("data")) return { data: value.get("data"), fields: value };
    return { data: value, fields: new Map() };
  } catch {
    return { data: plain(raw), fields: new Map() };
  }
}

function plain(raw) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(raw);
  } catch {
    return hex(raw.subarray(0, 1024));
  }
}

function effects(fields) {
  const counted = [
    ["storage_changes", "storage page written", "storage pages written"],
    ["emissions", "message sent", "messages sent"],
    ["nondet_results", "nondet block run", "nondet blocks run"],
  ];
  return counted.flatMap(([name, one, many]) => {
    const number = fields.get(name)?.length ?? 0;
    return number ? [`${number} ${number === 1 ? one : many}`] : [];
  });
}
