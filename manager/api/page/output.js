// One output of a run, read in parts: the newest first, then newer and older ones.

const PART = 64 << 10; // bytes of one request for older output
const GROWTH = 256 << 10; // and for newer output; the service gives no more
const KEPT = 1 << 20; // bytes on the page; `genvm-manager logs` shows all
const ATTEMPTS = 3;

/**
 * The part of an output that has been read. Positions count from the output's first byte, dropped or
 * not; parts begin and end between characters, or between lines where `byLines`.
 */
export class Output {
  start = 0;
  end = 0;
  dropped = 0;
  isComplete = false;
  #client;
  #path;
  #border;

  constructor(client, id, field, byLines) {
    this.#client = client;
    this.#path = `genvm/${id}/artifact?field=${field}`;
    this.#border = byLines ? lineBorder : characterBorder;
  }

  get hasEarlier() {
    return this.start > this.dropped;
  }

  get isFull() {
    return this.end - this.start >= KEPT;
  }

  /** The number of bytes that the service keeps. */
  async size() {
    return (await this.#read(0, 0)).total;
  }

  /** Read the newest part. */
  async newest() {
    const total = await this.size();
    const place = Math.max(this.dropped, this.dropped + total - PART);
    const { raw, at } = await this.#read(place, PART);
    const skipped = at > this.dropped ? this.#border(raw) : 0;
    this.start = at + skipped;
    this.#taken(raw.subarray(skipped), this.start);
    return raw.subarray(skipped);
  }

  /** Read newer output. `missed` bytes were dropped before they could be read; `isBehind`: output is
   * written faster than it is read. */
  async more() {
    const { raw, at, total } = await this.#read(this.end, GROWTH);
    const missed = Math.max(0, at - this.end);
    this.#taken(raw, at);
    return { raw, missed, isBehind: this.dropped + total > this.end };
  }

  /** Read the part before the first that has been read. */
  async earlier() {
    const from = Math.max(this.dropped, this.start - PART);
    const { raw, at } = await this.#read(from, this.start - from);
    const part = raw.subarray(0, Math.max(0, this.start - at));
    const skipped = at > this.dropped ? this.#border(part) : 0;
    this.start = Math.min(at + skipped, this.start);
    return part.subarray(skipped);
  }

  #taken(raw, at) {
    this.end = at + raw.length;
  }

  /** Read up to `length` bytes from a position, and return where they really begin. */
  async #read(place, length) {
    for (let attempt = 1; ; attempt += 1) {
      const offset = Math.max(0, place - this.dropped);
      const reply = await this.#client.json("GET", `${this.#path}&offset=${offset}&max_len=${length}`);
      const raw = Uint8Array.from(atob(reply.data_base64), (digit) => digit.charCodeAt(0));
      const hasMoved = reply.dropped_bytes !== this.dropped;
      this.dropped = reply.dropped_bytes;
      // Output that is dropped in between moves all offsets: then read again.
      if (hasMoved && length > 0 && attempt < ATTEMPTS) continue;
      this.isComplete = reply.state === "finished" && offset + raw.length >= reply.total_len;
      return { raw, at: this.dropped + offset, total: reply.total_len };
    }
  }
}

/** The position of the first complete character: a part may begin within one. */
function characterBorder(raw) {
  let place = 0;
  while (place < 3 && place < raw.length && (raw[place] & 0xc0) === 0x80) place += 1;
  return place;
}

/** The position of the first complete line, or 0 when there is none. */
function lineBorder(raw) {
  const end = raw.indexOf(10);
  return end < 0 || end === raw.length - 1 ? 0 : end + 1;
}
