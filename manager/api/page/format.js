// Format numbers, times and sizes.

const NARROW = "\u202f"; // no line breaks between a number and its unit
const count = new Intl.NumberFormat("en");

/** 12,345 */
export const whole = (number) => count.format(number);

/** The time that something has lasted, in whole seconds. */
export function age(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds}${NARROW}s`;
  if (seconds < 3600) return pair(seconds, 60, "min", "s");
  if (seconds < 86400) return pair(Math.floor(seconds / 60), 60, "h", "min");
  return pair(Math.floor(seconds / 3600), 24, "d", "h");
}

/** The time that something took, as precise as is useful. */
export function duration(milliseconds) {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 1) return `${Math.round(seconds * 1000)}${NARROW}ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)}${NARROW}s`;
  return age(milliseconds);
}

function pair(number, base, large, small) {
  const rest = String(number % base).padStart(2, "0");
  return `${Math.floor(number / base)}${NARROW}${large} ${rest}${NARROW}${small}`;
}

/** Bytes in binary units. */
export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let amount = number;
  while (amount >= 1000 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  const digits = unit > 0 && amount < 10 ? 1 : 0;
  return `${amount.toFixed(digits)}${NARROW}${units[unit]}`;
}

/** Percent of one processor. */
export const percent = (number) => `${Math.round(number)}${NARROW}%`;

/** Seconds of processor time. */
export const cpuTime = (seconds) => duration(seconds * 1000);

/** A time of day in the reader's time zone, in milliseconds. */
export function clock(milliseconds) {
  const time = new Date(milliseconds);
  const text = time.toLocaleTimeString("en-GB", { hour12: false });
  return `${text}.${String(time.getMilliseconds()).padStart(3, "0")}`;
}

/** A time of day in the reader's time zone. */
export const hour = (milliseconds) =>
  new Date(milliseconds).toLocaleTimeString("en-GB", { hour12: false });

/** Date and time, for tooltips. */
export const moment = (milliseconds) => new Date(milliseconds).toISOString();

/** Shown where there is no value. */
export const NONE = "–";
